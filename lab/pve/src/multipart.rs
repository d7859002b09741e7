//! The upload parser of the API server, which is no general one: it knows three fields, wants them in one order before
//! the file, and the file in a field called `filename` whose first header is its disposition.

use crate::form::Given;

/// What an upload carried.
#[derive(Debug, PartialEq, Eq)]
pub struct Upload {
    /// The form fields, and the name of the file as `filename`.
    pub fields: Given,
    /// The file.
    pub file: Vec<u8>,
}

/// Fields that may stand before the file, in the only order that is understood.
const FIELDS: [&str; 3] = ["content", "checksum-algorithm", "checksum"];

/// The boundary named by a content type, if it is multipart at all.
pub fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    Some(boundary.trim_matches('"'))
}

/// Parses a body. The error is the text of the 501.
pub fn parse(body: &[u8], boundary: &str) -> Result<Upload, String> {
    let delimiter = format!("--{boundary}").into_bytes();
    let mut rest = find(body, &delimiter).and_then(|at| body.get(at..)).ok_or("no multipart boundary found")?;
    let mut fields = Given::new();
    for name in FIELDS {
        // A field is looked for from here on: what stands before it is swallowed, so a field out of order is lost.
        let disposition = format!("Content-Disposition: form-data; name=\"{name}\"").into_bytes();
        let Some(at) = find(rest, &disposition) else { continue };
        let after = rest.get(at + disposition.len()..).unwrap_or_default();
        let Some(end) = find(after, &delimiter) else { continue };
        let value = after.get(..end).unwrap_or_default();
        let value = find(value, b"\r\n\r\n").and_then(|at| value.get(at + 4..)).unwrap_or(value);
        fields.insert(name.to_owned(), vec![String::from_utf8_lossy(value).trim().to_owned()]);
        rest = after.get(end..).unwrap_or_default();
    }
    let part = rest.strip_prefix(delimiter.as_slice()).and_then(|rest| rest.strip_prefix(b"\r\n")).unwrap_or_default();
    let end_of_headers = find(part, b"\r\n\r\n").ok_or("upload ended without a file")?;
    let headers = String::from_utf8_lossy(part.get(..end_of_headers).unwrap_or_default()).into_owned();
    let first = headers.lines().next().unwrap_or_default();
    let disposition =
        first.strip_prefix("Content-Disposition: form-data; name=\"").ok_or("upload ended without a file")?;
    let (field, tail) = disposition.split_once('"').ok_or("upload ended without a file")?;
    let name = tail
        .trim_start()
        .strip_prefix(';')
        .and_then(|tail| tail.trim_start().strip_prefix("filename=\""))
        .and_then(|tail| tail.split_once('"'))
        .map(|(name, _)| name.trim())
        .filter(|name| !name.is_empty())
        .ok_or("upload ended without a file")?;
    if field != "filename" {
        return Err(format!("wrong field name '{field}' for file upload, expected 'filename'"));
    }
    let data = part.get(end_of_headers + 4..).unwrap_or_default();
    let close = [b"\r\n".as_slice(), &delimiter, b"--"].concat();
    let end = find(data, &close).ok_or("upload ended without its closing boundary")?;
    fields.insert("filename".to_owned(), vec![name.to_owned()]);
    Ok(Upload { fields, file: data.get(..end).unwrap_or_default().to_vec() })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(parts: &[&str]) -> Vec<u8> {
        let mut body: String =
            parts.iter().map(|part| format!("--B\r\nContent-Disposition: form-data; {part}\r\n")).collect();
        body.push_str("--B--\r\n");
        body.into_bytes()
    }

    const FILE: &str =
        "name=\"filename\"; filename=\"a.iso\"\r\nContent-Type: application/octet-stream\r\n\r\n\0data\r\n\r";

    #[test]
    fn the_documented_order_is_understood() {
        let upload = parse(
            &body(&[
                "name=\"content\"\r\n\r\niso",
                "name=\"checksum-algorithm\"\r\n\r\nsha256",
                "name=\"checksum\"\r\n\r\nabc",
                FILE,
            ]),
            "B",
        )
        .unwrap();
        assert_eq!(upload.fields["content"], ["iso"]);
        assert_eq!(upload.fields["checksum"], ["abc"]);
        assert_eq!(upload.fields["filename"], ["a.iso"]);
        assert_eq!(upload.file, b"\0data\r\n\r");
    }

    #[test]
    fn a_field_out_of_order_is_lost() {
        let upload = parse(&body(&["name=\"checksum\"\r\n\r\nabc", "name=\"content\"\r\n\r\niso", FILE]), "B").unwrap();
        assert!(!upload.fields.contains_key("checksum"));
    }

    #[test]
    fn the_file_must_be_called_filename_and_be_closed() {
        let wrong = FILE.replace("name=\"filename\"", "name=\"file\"");
        assert!(parse(&body(&[&wrong]), "B").unwrap_err().contains("wrong field name 'file'"));
        let late = "name=\"filename\"\r\n\r\na.iso";
        assert!(parse(&body(&["name=\"content\"\r\n\r\niso", late]), "B").is_err());
        let mut cut = body(&[FILE]);
        cut.truncate(cut.len() - 4);
        assert!(parse(&cut, "B").unwrap_err().contains("closing"));
    }

    #[test]
    fn the_boundary_comes_from_the_content_type() {
        assert_eq!(boundary("multipart/form-data; boundary=\"x y\""), Some("x y"));
        assert_eq!(boundary("application/json"), None);
    }
}
