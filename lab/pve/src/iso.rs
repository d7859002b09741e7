//! The seed image that Proxmox VE generates for a cloud-init drive: ISO 9660 with Joliet names, label `cidata`.

/// Bytes of a sector.
const SECTOR: usize = 2048;

/// One directory tree: plain ISO 9660 or Joliet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    Plain,
    Joliet,
}

/// Writes an image with the given files in its root, names of at most eight letters, a dot or dash, and three more.
pub fn write(label: &str, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    // 16 system sectors, two volume descriptors and their end, a path table pair and a root directory for each tree.
    const PATHS: [u32; 2] = [19, 21];
    const ROOTS: [u32; 2] = [23, 24];
    let mut extents = Vec::new();
    let mut next = 25;
    for (_, content) in files {
        extents.push(next);
        next += content.len().div_ceil(SECTOR).max(1) as u32;
    }
    let mut image = vec![0; 16 * SECTOR];
    for (tree, at) in [(Tree::Plain, 0), (Tree::Joliet, 1)] {
        image.extend(descriptor(tree, label, next, PATHS[at], ROOTS[at]));
    }
    image.extend(sector(&[&[255], b"CD001".as_slice(), &[1]].concat()));
    for root in ROOTS {
        image.extend(sector(&[&[1, 0], root.to_le_bytes().as_slice(), &[1, 0, 0, 0]].concat()));
        image.extend(sector(&[&[1, 0], root.to_be_bytes().as_slice(), &[0, 1, 0, 0]].concat()));
    }
    for (tree, at) in [(Tree::Plain, 0), (Tree::Joliet, 1)] {
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = files
            .iter()
            .zip(&extents)
            .map(|((name, content), extent)| {
                let name = file_name(tree, name);
                (name.clone(), record(&name, *extent, content.len() as u32, false))
            })
            .collect();
        entries.sort();
        let dots = [record(&[0], ROOTS[at], SECTOR as u32, true), record(&[1], ROOTS[at], SECTOR as u32, true)];
        image.extend(sector(
            &dots.into_iter().chain(entries.into_iter().map(|(_, entry)| entry)).flatten().collect::<Vec<_>>(),
        ));
    }
    for (_, content) in files {
        image.extend_from_slice(content);
        image.resize(image.len().next_multiple_of(SECTOR) + if content.is_empty() { SECTOR } else { 0 }, 0);
    }
    image
}

fn sector(content: &[u8]) -> Vec<u8> {
    let mut sector = content.to_vec();
    sector.resize(SECTOR, 0);
    sector
}

fn both(value: u32) -> [u8; 8] {
    let mut both = [0; 8];
    both[..4].copy_from_slice(&value.to_le_bytes());
    both[4..].copy_from_slice(&value.to_be_bytes());
    both
}

fn text(tree: Tree, text: &str, length: usize) -> Vec<u8> {
    let (mut bytes, pad): (Vec<u8>, &[u8]) = match tree {
        Tree::Plain => (text.bytes().collect(), b" "),
        Tree::Joliet => (text.encode_utf16().flat_map(u16::to_be_bytes).collect(), &[0, b' ']),
    };
    while bytes.len() < length {
        bytes.extend_from_slice(pad);
    }
    bytes.truncate(length);
    bytes
}

fn file_name(tree: Tree, name: &str) -> Vec<u8> {
    match tree {
        Tree::Joliet => name.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Tree::Plain => {
            let short: String = name.to_ascii_uppercase().chars().filter(char::is_ascii_alphanumeric).take(8).collect();
            format!("{short}.;1").into_bytes()
        }
    }
}

fn record(name: &[u8], extent: u32, length: u32, directory: bool) -> Vec<u8> {
    let mut record = vec![0, 0];
    record.extend(both(extent));
    record.extend(both(length));
    record.extend([70, 1, 1, 0, 0, 0, 0, if directory { 2 } else { 0 }, 0, 0, 1, 0, 0, 1, name.len() as u8]);
    record.extend_from_slice(name);
    if record.len() % 2 == 1 {
        record.push(0);
    }
    record[0] = record.len() as u8;
    record
}

fn descriptor(tree: Tree, label: &str, sectors: u32, path_table: u32, root: u32) -> Vec<u8> {
    let mut out = vec![if tree == Tree::Plain { 1 } else { 2 }];
    out.extend(b"CD001\x01\0");
    out.extend(text(tree, "", 32));
    out.extend(text(tree, label, 32));
    out.extend([0; 8]);
    out.extend(both(sectors));
    let mut escape = [0; 32];
    if tree == Tree::Joliet {
        escape[..3].copy_from_slice(b"%/E");
    }
    out.extend(escape);
    out.extend([1, 0, 0, 1, 1, 0, 0, 1, 0, 8, 8, 0]);
    out.extend(both(10));
    out.extend(path_table.to_le_bytes());
    out.extend([0; 4]);
    out.extend((path_table + 1).to_be_bytes());
    out.extend([0; 4]);
    out.extend(record(&[0], root, SECTOR as u32, true));
    for length in [128, 128, 128, 128, 37, 37, 37] {
        out.extend(text(tree, "", length));
    }
    for date in ["1970010100000000", "1970010100000000", "0000000000000000", "0000000000000000"] {
        out.extend(date.bytes());
        out.push(0);
    }
    out.push(1);
    sector(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_through_the_joliet_root() {
        let image = write("cidata", &[("meta-data", b"instance-id: x\n".to_vec()), ("user-data", vec![b'#'; 3000])]);
        let joliet = &image[17 * SECTOR..18 * SECTOR];
        assert_eq!(&joliet[40..52], text(Tree::Joliet, "cidata", 12).as_slice());
        assert_eq!(&image[16 * SECTOR + 40..16 * SECTOR + 46], b"cidata");
        let extent = u32::from_le_bytes(joliet[158..162].try_into().unwrap()) as usize;
        let root = &image[extent * SECTOR..(extent + 1) * SECTOR];
        let name: Vec<u8> = "user-data".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let at = root.windows(name.len()).position(|window| window == name).unwrap() - 33;
        let file = u32::from_le_bytes(root[at + 2..at + 6].try_into().unwrap()) as usize;
        assert_eq!(&image[file * SECTOR..file * SECTOR + 3000], vec![b'#'; 3000].as_slice());
        assert_eq!(image.len() % SECTOR, 0);
    }
}
