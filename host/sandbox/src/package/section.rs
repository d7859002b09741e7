//! The sections of a component file, top level only.

use crate::{Error, Result};

/// One section.
pub(super) struct Section<'a> {
    /// Its number; 0 for custom sections.
    pub id: u8,
    /// Its content, without number and length.
    pub content: &'a [u8],
    /// All of it.
    pub whole: &'a [u8],
}

/// Magic and version of a component; a core module has another version.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// What kind of file this is.
pub(super) fn check_header(bytes: &[u8]) -> Result<()> {
    match bytes.get(..8) {
        Some(header) if header == COMPONENT => Ok(()),
        Some(header) if header.starts_with(b"\0asm\x01\0\0\0") => Err(Error::CoreModule),
        _ if bytes.is_empty() => Err(Error::Empty),
        _ => Err(Error::NotWasm),
    }
}

/// The sections at the top level of a component.
pub(super) fn sections(bytes: &[u8]) -> Result<Vec<Section<'_>>> {
    check_header(bytes)?;
    let cut = || Error::Malformed("a section is cut off".to_owned());
    let mut rest = bytes.get(COMPONENT.len()..).unwrap_or_default();
    let mut found = Vec::new();
    while let Some((&id, after)) = rest.split_first() {
        let (length, content) = read_u32(after).ok_or_else(cut)?;
        let content = content.get(..length as usize).ok_or_else(cut)?;
        let header = 1 + after.len() - read_u32(after).map_or(0, |(_, left)| left.len());
        let (whole, left) = rest.split_at_checked(header + content.len()).ok_or_else(cut)?;
        found.push(Section { id, content, whole });
        rest = left;
    }
    Ok(found)
}

impl<'a> Section<'a> {
    /// Name and data of a custom section.
    pub fn custom(&self) -> Option<(&'a [u8], &'a [u8])> {
        if self.id != 0 {
            return None;
        }
        let (length, rest) = read_u32(self.content)?;
        rest.split_at_checked(length as usize)
    }
}

/// A custom section.
pub(super) fn custom_section(name: &str, data: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    write_u32(&mut content, name.len());
    content.extend_from_slice(name.as_bytes());
    content.extend_from_slice(data);
    let mut section = vec![0];
    write_u32(&mut section, content.len());
    section.extend_from_slice(&content);
    section
}

/// LEB128.
fn read_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0u32;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u32::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

fn write_u32(out: &mut Vec<u8>, value: usize) {
    let mut value = value;
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_refused() {
        let mut file = COMPONENT.to_vec();
        file.extend(custom_section("a", &[1; 300]));
        file.extend(custom_section("b", b"x"));
        let found = sections(&file).unwrap();
        assert_eq!(found[0].custom().unwrap(), (b"a".as_slice(), [1; 300].as_slice()));
        assert_eq!(found[1].custom().unwrap(), (b"b".as_slice(), b"x".as_slice()));
        assert_eq!(found.iter().map(|section| section.whole.len()).sum::<usize>() + 8, file.len());
        assert!(sections(&file[..file.len() - 1]).is_err());
        assert!(matches!(sections(b"hello"), Err(Error::NotWasm)));
        assert!(matches!(sections(b"\0asm\x01\0\0\0"), Err(Error::CoreModule)));
    }
}
