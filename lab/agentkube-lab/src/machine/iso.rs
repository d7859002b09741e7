//! Reads CD-ROM images (ISO 9660, ECMA-119) as a machine's kernel would: the label and the files of the root directory, by
//! their Joliet names where the image has them, otherwise by the primary names as Linux shows them.

use std::collections::BTreeMap;

const SECTOR: usize = 2048;
/// The volume descriptors start here (ECMA-119 §6.2.1).
const DESCRIPTORS: usize = 16;
/// More descriptors than any sane image has.
const MOST_DESCRIPTORS: usize = 16;

/// What is on a CD-ROM.
#[derive(Debug, PartialEq, Eq)]
pub struct Volume {
    /// Volume label of the primary descriptor.
    pub label: String,
    /// Files of the root directory.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IsoError {
    /// No `CD001` where it must stand.
    #[error("this is no ISO 9660 image")]
    NoImage,
    /// It points beyond its own end.
    #[error("the image ends in the middle of {0}")]
    Truncated(String),
}

/// Where a directory or a file lies.
struct Extent {
    sector: usize,
    length: usize,
}

/// Reads an image.
pub fn read(image: &[u8]) -> Result<Volume, IsoError> {
    let (mut primary, mut joliet) = (None, None);
    for index in DESCRIPTORS..DESCRIPTORS + MOST_DESCRIPTORS {
        let descriptor = sectors(image, index, SECTOR).ok_or(IsoError::NoImage)?;
        if descriptor.get(1..6) != Some(b"CD001") {
            return Err(IsoError::NoImage);
        }
        match descriptor.first() {
            Some(1) if primary.is_none() => primary = Some(descriptor),
            Some(2) if is_joliet(descriptor) => joliet = Some(descriptor),
            Some(255) => break,
            _ => {}
        }
    }
    let primary = primary.ok_or(IsoError::NoImage)?;
    let label = String::from_utf8_lossy(primary.get(40..72).unwrap_or_default()).trim_end().to_owned();
    let descriptor = joliet.unwrap_or(primary);
    let root = descriptor.get(156..190).and_then(extent).ok_or(IsoError::NoImage)?;
    let files = directory(image, &root, joliet.is_some())?;
    Ok(Volume { label, files })
}

/// Escape sequences of UCS-2 levels 1 to 3.
fn is_joliet(descriptor: &[u8]) -> bool {
    matches!(descriptor.get(88..91), Some(b"%/@" | b"%/C" | b"%/E"))
}

fn sectors(image: &[u8], sector: usize, length: usize) -> Option<&[u8]> {
    let start = sector.checked_mul(SECTOR)?;
    image.get(start..start.checked_add(length)?)
}

/// Place and length in a directory record: little-endian halves of the both-endian numbers.
fn extent(record: &[u8]) -> Option<Extent> {
    let number = |at: usize| {
        let bytes: [u8; 4] = record.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    Some(Extent { sector: number(2)?, length: number(10)? })
}

fn directory(image: &[u8], root: &Extent, joliet: bool) -> Result<BTreeMap<String, Vec<u8>>, IsoError> {
    let truncated = |what: &str| IsoError::Truncated(what.to_owned());
    let bytes = sectors(image, root.sector, root.length).ok_or_else(|| truncated("the root directory"))?;
    let mut files = BTreeMap::new();
    // Records do not cross sectors; a length of 0 means that the rest of the sector is empty.
    for sector in bytes.chunks(SECTOR) {
        let mut rest = sector;
        while let Some(&length) = rest.first().filter(|length| **length > 0) {
            let record = rest.get(..usize::from(length)).ok_or_else(|| truncated("a directory record"))?;
            rest = rest.get(usize::from(length)..).unwrap_or_default();
            let is_directory = record.get(25).is_some_and(|flags| flags & 2 != 0);
            let name = record.get(32).and_then(|length| record.get(33..33 + usize::from(*length)));
            let (Some(name), Some(extent), false) = (name, extent(record), is_directory) else { continue };
            let name = file_name(name, joliet);
            let content = sectors(image, extent.sector, extent.length).ok_or_else(|| truncated(&name))?;
            files.insert(name, content.to_vec());
        }
    }
    Ok(files)
}

/// Joliet names are UCS-2, big-endian. Primary names are shown in lower case. Both end in a version.
fn file_name(raw: &[u8], joliet: bool) -> String {
    let name = match joliet {
        true => {
            let units: Vec<u16> = raw.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            String::from_utf16_lossy(&units)
        }
        false => String::from_utf8_lossy(raw).to_ascii_lowercase(),
    };
    let name = name.split(';').next().unwrap_or_default();
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn both(value: u32) -> Vec<u8> {
        [value.to_le_bytes(), value.to_be_bytes()].concat()
    }

    fn record(name: &[u8], sector: u32, length: usize, flags: u8) -> Vec<u8> {
        let mut record = vec![0, 0];
        record.extend(both(sector));
        record.extend(both(length as u32));
        record.extend([126, 11, 20, 0, 0, 0, 0, flags, 0, 0, 1, 0, 0, 1, name.len() as u8]);
        record.extend(name);
        if record.len() % 2 == 1 {
            record.push(0);
        }
        record[0] = record.len() as u8;
        record
    }

    /// An image with the given files; `names` says under which names they stand in the primary and the Joliet tree.
    pub(crate) fn image(label: &str, joliet: bool, files: &[(&str, &[u8])]) -> Vec<u8> {
        let ucs2 = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        let descriptor = |kind: u8, root: u32| {
            let mut bytes = vec![0; SECTOR];
            bytes[0] = kind;
            bytes[1..6].copy_from_slice(b"CD001");
            bytes[40..72].fill(b' ');
            bytes[40..40 + label.len()].copy_from_slice(label.as_bytes());
            if kind == 2 {
                bytes[88..91].copy_from_slice(b"%/E");
            }
            let root = record(&[0], root, SECTOR, 2);
            bytes[156..156 + root.len()].copy_from_slice(&root);
            bytes
        };
        let mut image = vec![0; 16 * SECTOR];
        image.extend(descriptor(1, 19));
        image.extend(if joliet { descriptor(2, 20) } else { descriptor(3, 20) });
        image.extend(descriptor(255, 0));
        let (mut sector, mut places) = (21, Vec::new());
        for (_, content) in files {
            places.push(sector);
            sector += content.len().div_ceil(SECTOR).max(1) as u32;
        }
        for joliet in [false, true] {
            let mut bytes = [record(&[0], 19, SECTOR, 2), record(&[1], 19, SECTOR, 2)].concat();
            for ((name, content), place) in files.iter().zip(&places) {
                let name = if joliet { ucs2(name) } else { format!("{};1", name.to_ascii_uppercase()).into_bytes() };
                bytes.extend(record(&name, *place, content.len(), 0));
            }
            bytes.resize(SECTOR, 0);
            image.extend(bytes);
        }
        for (_, content) in files {
            let mut bytes = content.to_vec();
            bytes.resize(content.len().div_ceil(SECTOR).max(1) * SECTOR, 0);
            image.extend(bytes);
        }
        image
    }

    #[test]
    fn both_trees_are_read() {
        let long = vec![7; 5000];
        let files: [(&str, &[u8]); 3] = [("user-data", b"#cloud-config\n"), ("meta-data", &long), ("empty", b"")];
        for joliet in [true, false] {
            let volume = read(&image("cidata", joliet, &files)).unwrap();
            assert_eq!(volume.label, "cidata");
            let expected = files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
            assert_eq!(volume.files, expected);
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert_eq!(read(&[0; 100]), Err(IsoError::NoImage));
        assert_eq!(read(&vec![0; 40 * SECTOR]), Err(IsoError::NoImage));
        let mut cut = image("cidata", true, &[("user-data", &[1; 3000])]);
        cut.truncate(22 * SECTOR);
        assert_eq!(read(&cut), Err(IsoError::Truncated("user-data".to_owned())));
    }
}
