//! Uploading an image. The API server's parser is no general one: it knows one order of fields.

use agentkube_sdk::http::Request;
use agentkube_sdk::machine::MachineKey;
use agentkube_sdk::prelude::*;
use agentkube_sdk::random;
use sha2::{Digest, Sha256};

use crate::Proxmox;
use crate::api::{at, start};

impl Proxmox {
    /// Uploads an image to a node's storage and waits until it is in place. One of the same name is replaced.
    ///
    /// The node that receives an upload copies it to its target by itself, which fails where nodes cannot reach each other by SSH: so
    /// it is sent to the target's own endpoint where the connection has one.
    pub(super) async fn upload(
        &self,
        call: &Call,
        key: &MachineKey,
        node: &str,
        entry: Entry,
        image: &[u8],
    ) -> Result<()> {
        let label = self.config.endpoint_label.replace("{node}", node);
        let request = || self.upload_request(key, node, entry, image);
        let upid = match start(request().endpoint(label)).await {
            Err(fault) if fault.code == "NO_SUCH_ENDPOINT" => start(request()).await?,
            other => other?,
        };
        self.done(call, upid).await
    }

    fn upload_request(&self, key: &MachineKey, node: &str, entry: Entry, image: &[u8]) -> Request {
        let boundary = format!("agentkube-{}", random::hex(32));
        let path = at!("nodes", node, "storage", self.config.seed_storage, "upload");
        self.api
            .change("POST", path, entry)
            .content_type(&format!("multipart/form-data; boundary={boundary}"))
            .part(head(&boundary, &Self::seed_name(key), image))
            .part(image)
            .part(format!("\r\n--{boundary}--\r\n"))
    }
}

/// Everything before the file: content, then the algorithm, then the checksum, then the file's headers with its disposition first.
fn head(boundary: &str, name: &str, image: &[u8]) -> String {
    let checksum: String = Sha256::digest(image).iter().map(|byte| format!("{byte:02x}")).collect();
    let fields = [("content", "iso"), ("checksum-algorithm", "sha256"), ("checksum", &checksum)];
    let fields: String = fields
        .into_iter()
        .map(|(field, value)| {
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n")
        })
        .collect();
    format!(
        "{fields}--{boundary}\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_stand_in_the_order_that_is_read() {
        let head = head("B", "seed-a.iso", b"");
        let places: Vec<usize> = [
            "name=\"content\"",
            "name=\"checksum-algorithm\"",
            "name=\"checksum\"",
            "name=\"filename\"; filename=\"seed-a.iso\"\r\nContent-Type",
        ]
        .map(|part| head.find(part).unwrap())
        .into();
        assert!(places.is_sorted(), "{head}");
        assert!(
            head.contains("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            "SHA-256 of nothing"
        );
    }
}
