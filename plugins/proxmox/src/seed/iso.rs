//! A volume that cloud-init finds: ISO 9660 with Joliet names, a few files in its root, the same bytes for the same content.
//!
//! Written after ECMA-119 and the Joliet specification; one sector holds each directory, which is plenty for a seed.

use agentkube_sdk::prelude::*;

/// Bytes of a sector.
const SECTOR: usize = 2048;
/// Most bytes of all files: what Proxmox VE allows a cloud-init drive.
const LIMIT: usize = 3 << 20;
/// Where path tables and directories stand: 16 sectors of the system, two descriptors, their end.
const PLAIN: Layout = Layout { little: 19, big: 20, root: 23 };
const JOLIET: Layout = Layout { little: 21, big: 22, root: 24 };
const FIRST_FILE: u32 = 25;
/// 1 January 1970, as directory records and descriptors write it.
const RECORD_TIME: [u8; 7] = [70, 1, 1, 0, 0, 0, 0];
const TIME: &[u8; 17] = b"1970010100000000\0";
const NO_TIME: &[u8; 17] = b"0000000000000000\0";

/// Sectors of one of the two trees.
struct Layout {
    little: u32,
    big: u32,
    root: u32,
}

/// One of the two trees over the same files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    Plain,
    Joliet,
}

impl Tree {
    fn layout(self) -> &'static Layout {
        match self {
            Tree::Plain => &PLAIN,
            Tree::Joliet => &JOLIET,
        }
    }

    /// A name as the tree writes it. The plain one knows eight capitals and digits.
    fn name(self, name: &str) -> Vec<u8> {
        match self {
            Tree::Joliet => wide(name),
            Tree::Plain => {
                let short: String = name.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
                format!("{}.;1", short.to_ascii_uppercase()).into_bytes()
            }
        }
    }

    /// Text in a field of this many bytes, filled with blanks.
    fn field(self, text: &str, length: usize) -> Vec<u8> {
        let (mut field, blank) = match self {
            Tree::Plain => (text.as_bytes().to_vec(), b" ".to_vec()),
            Tree::Joliet => (wide(text), wide(" ")),
        };
        while field.len() < length {
            field.extend(&blank);
        }
        field.truncate(length);
        field
    }
}

/// The volume. Fails when the files are more than a seed may hold.
pub(crate) fn image(label: &str, files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let total: usize = files.iter().map(|(_, content)| content.len()).sum();
    if total > LIMIT {
        let message = format!("first-boot data of {total} bytes: a seed image holds {LIMIT}");
        return Err(Fault::invalid("SEED_TOO_LARGE", message).scope(Scope::Pool));
    }
    let mut extents = Vec::new();
    let mut next = FIRST_FILE;
    for (_, content) in files {
        extents.push(next);
        next += u32::try_from(content.len().div_ceil(SECTOR).max(1)).unwrap_or(u32::MAX);
    }
    let mut image = vec![0; 16 * SECTOR];
    image.extend(descriptor(Tree::Plain, label, next));
    image.extend(descriptor(Tree::Joliet, label, next));
    image.extend(sector(b"\xffCD001\x01".to_vec()));
    for tree in [Tree::Plain, Tree::Joliet] {
        image.extend(sector(path_table(&tree.layout().root.to_le_bytes(), &1u16.to_le_bytes())));
        image.extend(sector(path_table(&tree.layout().root.to_be_bytes(), &1u16.to_be_bytes())));
    }
    for tree in [Tree::Plain, Tree::Joliet] {
        image.extend(sector(directory(tree, files, &extents)));
    }
    for (_, content) in files {
        image.extend_from_slice(content);
        let padding = if content.is_empty() { SECTOR } else { content.len().next_multiple_of(SECTOR) - content.len() };
        image.resize(image.len() + padding, 0);
    }
    Ok(image)
}

fn sector(mut content: Vec<u8>) -> Vec<u8> {
    content.resize(SECTOR, 0);
    content
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// A number in both byte orders.
fn both(number: u32) -> Vec<u8> {
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}

fn both16(number: u16) -> Vec<u8> {
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}

/// The table's only entry: the root, which is its own parent.
fn path_table(root: &[u8], parent: &[u8]) -> Vec<u8> {
    [&[1, 0], root, parent, &[0, 0]].concat()
}

fn directory(tree: Tree, files: &[(&str, &[u8])], extents: &[u32]) -> Vec<u8> {
    let mut entries: Vec<(Vec<u8>, u32, usize)> =
        files.iter().zip(extents).map(|((name, content), extent)| (tree.name(name), *extent, content.len())).collect();
    entries.sort();
    let root = tree.layout().root;
    let mut directory = [record(&[0], root, SECTOR, true), record(&[1], root, SECTOR, true)].concat();
    for (name, extent, length) in entries {
        directory.extend(record(&name, extent, length, false));
    }
    directory
}

fn record(name: &[u8], extent: u32, length: usize, directory: bool) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let size = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let mut record =
        [both(extent), both(length), RECORD_TIME.to_vec(), vec![if directory { 2 } else { 0 }, 0, 0]].concat();
    record.extend(both16(1));
    record.push(size);
    record.extend_from_slice(name);
    if record.len() % 2 == 1 {
        record.push(0);
    }
    let whole = u8::try_from(record.len() + 2).unwrap_or(u8::MAX);
    [vec![whole, 0], record].concat()
}

fn descriptor(tree: Tree, label: &str, sectors: u32) -> Vec<u8> {
    let layout = tree.layout();
    let kind = if tree == Tree::Plain { 1 } else { 2 };
    let mut escape = vec![0; 32];
    if tree == Tree::Joliet {
        // UCS-2 level 3.
        escape.splice(..3, *b"%/E");
    }
    let mut out = [&[kind], b"CD001\x01\0".as_slice()].concat();
    out.extend(tree.field("", 32));
    out.extend(tree.field(label, 32));
    out.extend([0; 8]);
    out.extend(both(sectors));
    out.extend(escape);
    // One volume of one, with sectors of 2,048 bytes and a path table of ten.
    out.extend([both16(1), both16(1), both16(2048), both(10)].concat());
    out.extend([layout.little.to_le_bytes(), [0; 4], layout.big.to_be_bytes(), [0; 4]].concat());
    out.extend(record(&[0], layout.root, SECTOR, true));
    for length in [128, 128, 128, 128, 37, 37, 37] {
        out.extend(tree.field("", length));
    }
    for time in [TIME, TIME, NO_TIME, NO_TIME] {
        out.extend(time);
    }
    out.push(1);
    sector(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(image: &[u8], offset: usize) -> usize {
        u32::from_le_bytes(image[offset..offset + 4].try_into().unwrap()) as usize
    }

    type File = (Vec<u8>, Vec<u8>);

    /// Label and files, read through one of the trees.
    fn read(image: &[u8], descriptor: usize) -> (Vec<u8>, Vec<File>) {
        let volume = &image[descriptor * SECTOR..(descriptor + 1) * SECTOR];
        assert_eq!(&volume[1..7], b"CD001\x01");
        assert_eq!(at(volume, 80) * SECTOR, image.len());
        let root = at(volume, 158) * SECTOR;
        // The path table leads to the same root.
        assert_eq!(at(image, at(volume, 140) * SECTOR + 2) * SECTOR, root);
        let (mut files, mut next) = (Vec::new(), root);
        while image[next] > 0 {
            let record = &image[next..next + image[next] as usize];
            let (extent, length) = (at(record, 2) * SECTOR, at(record, 10));
            if record[25] & 2 == 0 {
                let name = record[33..33 + record[32] as usize].to_vec();
                files.push((name, image[extent..extent + length].to_vec()));
            }
            next += record.len();
        }
        (volume[40..72].to_vec(), files)
    }

    #[test]
    fn both_trees_lead_to_the_files() {
        let long = vec![b'#'; 5000];
        let image = image("cidata", &[("user-data", &long), ("meta-data", b"a: b\n"), ("empty", b"")]).unwrap();
        let (label, files) = read(&image, 16);
        assert_eq!(String::from_utf8(label).unwrap().trim_end(), "cidata");
        assert_eq!(files[2], (b"USERDATA.;1".to_vec(), long.clone()));
        let (label, files) = read(&image, 17);
        assert_eq!(&label[..12], wide("cidata"));
        let names: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, [wide("empty"), wide("meta-data"), wide("user-data")]);
        assert_eq!((files[1].1.as_slice(), &files[2].1), (b"a: b\n".as_slice(), &long));
        assert!(files[0].1.is_empty());
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let files: [(&str, &[u8]); 2] = [("user-data", b"#cloud-config\n"), ("meta-data", b"instance-id: i\n")];
        let first = image("cidata", &files).unwrap();
        assert_eq!(first, image("cidata", &files).unwrap());
        assert_eq!(first.len(), 27 * SECTOR);
        let digest: String =
            <sha2::Sha256 as sha2::Digest>::digest(&first).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "77656ec079a27501284f8d78b556bb1f9dd8c4be7cf6eac205ca4feb95f38274");
    }

    #[test]
    fn a_seed_has_its_limit() {
        let fault = image("cidata", &[("user-data", &vec![0; LIMIT + 1])]).unwrap_err();
        assert_eq!(fault.code, "SEED_TOO_LARGE");
    }
}
