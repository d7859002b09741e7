//! First-boot data as cloud-init's NoCloud source finds them, or as a metadata service hands them out.

use std::io::Read;

use flate2::read::GzDecoder;
use lab_wire::{Boot, Media};
use serde::Deserialize;

use super::iso;

/// The most bytes that compressed data may unpack to.
const UNPACKED_LIMIT: u64 = 16 * 1024 * 1024;

/// What cloud-init read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seed {
    /// Identity of the instance: another one means a first boot.
    pub instance: String,
    /// Host name of the metadata.
    pub hostname: Option<String>,
    /// User data, unpacked.
    pub user_data: Vec<u8>,
    /// Network configuration, if there is one.
    pub network: Option<Vec<u8>>,
}

#[derive(Debug, Deserialize)]
struct MetaData {
    #[serde(rename = "instance-id")]
    instance: Option<String>,
    #[serde(rename = "local-hostname")]
    hostname: Option<String>,
}

/// Looks for first-boot data; what it says about each medium goes to `console`.
pub fn find(boot: &Boot, console: &mut impl FnMut(String)) -> Option<Seed> {
    // cloud-init takes the devices with a fitting label in descending order: sr1 before sr0.
    for (index, media) in boot.media.iter().enumerate().rev() {
        let found = match media {
            Media::Iso(image) => on_cd(image).map_err(|problem| format!("/dev/sr{index}: {problem}")),
            Media::Metadata { user_data, hostname } => Ok(Some(Seed {
                instance: boot.id.clone(),
                hostname: Some(hostname.clone()),
                user_data: user_data.clone(),
                network: None,
            })),
        };
        match found {
            Ok(Some(mut seed)) => {
                seed.user_data = unpacked(seed.user_data);
                return Some(seed);
            }
            Ok(None) => {}
            Err(problem) => console(problem),
        }
    }
    None
}

fn on_cd(image: &[u8]) -> Result<Option<Seed>, String> {
    let mut volume = iso::read(image).map_err(|error| error.to_string())?;
    if !matches!(volume.label.as_str(), "cidata" | "CIDATA") {
        return Ok(None);
    }
    // Both are required: without one of them NoCloud does not take the medium.
    let (Some(user_data), Some(meta_data)) = (volume.files.remove("user-data"), volume.files.remove("meta-data"))
    else {
        return Err("labelled cidata, but user-data or meta-data is missing".to_owned());
    };
    let text = String::from_utf8(meta_data).map_err(|_| "meta-data is not UTF-8".to_owned())?;
    let meta_data: MetaData = match text.trim().is_empty() {
        true => MetaData { instance: None, hostname: None },
        false => serde_saphyr::from_str(&text).map_err(|error| format!("meta-data: {error}"))?,
    };
    Ok(Some(Seed {
        instance: meta_data.instance.unwrap_or_else(|| "iid-datasource-none".to_owned()),
        hostname: meta_data.hostname,
        user_data,
        network: volume.files.remove("network-config"),
    }))
}

/// Unpacks what starts like gzip and is; everything else stays as it is.
pub fn unpacked(bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    let mut plain = Vec::new();
    match GzDecoder::new(bytes.as_slice()).take(UNPACKED_LIMIT).read_to_end(&mut plain) {
        Ok(_) => plain,
        Err(_) => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::iso::tests::image;

    fn boot(media: Vec<Media>) -> Boot {
        Boot { id: "vm-1".into(), name: "a".into(), macs: Vec::new(), cores: 1, memory_mib: 1, media }
    }

    fn cd(label: &str, user_data: &str) -> Media {
        let meta_data = "instance-id: i-1\nlocal-hostname: node-a\n";
        Media::Iso(image(label, true, &[("user-data", user_data.as_bytes()), ("meta-data", meta_data.as_bytes())]))
    }

    #[test]
    fn the_last_device_with_the_label_wins() {
        let media = vec![cd("cidata", "first"), cd("CIDATA", "second"), cd("other", "third")];
        let seed = find(&boot(media), &mut |problem| panic!("{problem}")).unwrap();
        assert_eq!((seed.user_data.as_slice(), seed.hostname.as_deref()), (b"second".as_slice(), Some("node-a")));
        assert_eq!(seed.instance, "i-1");
    }

    #[test]
    fn a_seed_without_meta_data_is_said_and_not_taken() {
        let mut said = Vec::new();
        let broken = Media::Iso(image("cidata", true, &[("user-data", b"x")]));
        assert_eq!(find(&boot(vec![broken, Media::Iso(vec![1, 2, 3])]), &mut |problem| said.push(problem)), None);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[1].contains("meta-data is missing"), "{said:?}");
    }

    #[test]
    fn a_metadata_service_and_compressed_data() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, b"#cloud-config\n").unwrap();
        let media = Media::Metadata { user_data: packer.finish().unwrap(), hostname: "h".into() };
        let seed = find(&boot(vec![media]), &mut |problem| panic!("{problem}")).unwrap();
        assert_eq!((seed.user_data.as_slice(), seed.instance.as_str()), (b"#cloud-config\n".as_slice(), "vm-1"));
    }
}
