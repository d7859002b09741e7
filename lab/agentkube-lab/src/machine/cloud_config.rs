//! The part of a `#cloud-config` document that a lab machine carries out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::seed::unpacked;

/// A `#cloud-config` document.
#[derive(Debug, Default, Deserialize)]
pub struct CloudConfig {
    /// Host name.
    pub hostname: Option<String>,
    /// Fully qualified host name; its first label is the host name when there is no other.
    pub fqdn: Option<String>,
    /// Files to write.
    #[serde(default)]
    pub write_files: Vec<WriteFile>,
    /// Keys of the default user.
    #[serde(default)]
    pub ssh_authorized_keys: Vec<String>,
    /// Users: a name or a map.
    #[serde(default)]
    pub users: Vec<Value>,
    /// Packages: `name`, `name=version` or `[name, version]`.
    #[serde(default)]
    pub packages: Vec<Value>,
    /// Commands of every boot.
    #[serde(default)]
    pub bootcmd: Vec<Value>,
    /// Commands of the first boot.
    #[serde(default)]
    pub runcmd: Vec<Value>,
    /// Everything that the lab does not carry out.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// One entry of `write_files`.
#[derive(Debug, Default, Deserialize)]
pub struct WriteFile {
    /// Where.
    pub path: String,
    /// What, encoded as `encoding` says.
    #[serde(default)]
    pub content: String,
    /// `b64`, `base64`, `gz`, `gzip`, `gz+b64` and their other spellings; plain without.
    pub encoding: Option<String>,
    /// Octal, as text; `0644` without.
    pub permissions: Option<Value>,
    /// Whether the content is added to what is there.
    #[serde(default)]
    pub append: bool,
}

impl CloudConfig {
    /// Reads user data that start with `#cloud-config`.
    pub fn read(user_data: &str) -> Result<Self, String> {
        let config: Option<CloudConfig> = serde_saphyr::from_str(user_data).map_err(|error| error.to_string())?;
        Ok(config.unwrap_or_default())
    }

    /// The host name that the document asks for.
    pub fn hostname(&self) -> Option<&str> {
        let fqdn = self.fqdn.as_deref().and_then(|fqdn| fqdn.split('.').next());
        self.hostname.as_deref().or(fqdn).filter(|name| !name.is_empty())
    }

    /// Authorized SSH keys with the user they are for (`""` is the default user).
    pub fn ssh_keys(&self) -> Vec<(String, String)> {
        let mut keys: Vec<(String, String)> =
            self.ssh_authorized_keys.iter().map(|key| (String::new(), key.clone())).collect();
        for user in &self.users {
            let name = user.get("name").and_then(Value::as_str).unwrap_or_default();
            let own = user.get("ssh_authorized_keys").and_then(Value::as_array);
            keys.extend(own.into_iter().flatten().filter_map(|key| Some((name.to_owned(), key.as_str()?.to_owned()))));
        }
        keys
    }

    /// Packages as `name=version` where a version is asked for.
    pub fn packages(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let one = |package: &Value| match package {
            Value::Array(parts) => Some(parts.iter().filter_map(text).collect::<Vec<_>>().join("=")),
            other => text(other),
        };
        self.packages.iter().filter_map(one).collect()
    }
}

/// A command of `runcmd` or `bootcmd` as a line of a shell script: lists are quoted word by word, as cloud-init does.
pub fn command_line(command: &Value) -> Option<String> {
    match command {
        Value::String(line) => Some(line.clone()),
        Value::Array(words) => Some(words.iter().map(|word| quoted(&plain(word))).collect::<Vec<_>>().join(" ")),
        _ => None,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl WriteFile {
    /// The bytes to write.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let decode = || {
            // YAML block scalars bring line breaks with them.
            let text: String = self.content.split_whitespace().collect();
            STANDARD.decode(text).map_err(|error| format!("write_files {}: {error}", self.path))
        };
        match self.encoding.as_deref().unwrap_or("text/plain") {
            "text/plain" | "" => Ok(self.content.clone().into_bytes()),
            "b64" | "base64" => decode(),
            "gz" | "gzip" => Ok(unpacked(self.content.clone().into_bytes())),
            "gz+b64" | "gzip+b64" | "gz+base64" | "gzip+base64" => Ok(unpacked(decode()?)),
            other => Err(format!("write_files {}: encoding {other:?} is not known", self.path)),
        }
    }

    /// Its permissions as text.
    pub fn permissions(&self) -> String {
        self.permissions.as_ref().map_or_else(|| "0644".to_owned(), plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_every_encoding() {
        let text = "#cloud-config\nwrite_files:\n- {path: /a, content: plain, permissions: '0600'}\n- {path: /b, encoding: b64, content: aGVsbG8=}\n- path: /c\n  encoding: gz+b64\n  content: |\n    H4sIAAAAAAACA8tIzcnJBwCGphA2BQAAAA==\n";
        let config = CloudConfig::read(text).unwrap();
        assert_eq!(config.write_files[0].bytes().unwrap(), b"plain");
        assert_eq!(config.write_files[0].permissions(), "0600");
        assert_eq!(config.write_files[1].bytes().unwrap(), b"hello");
        assert_eq!(config.write_files[2].bytes().unwrap(), b"hello");
        let odd = WriteFile { encoding: Some("rot13".into()), ..WriteFile::default() };
        assert!(odd.bytes().is_err());
    }

    #[test]
    fn names_keys_packages_and_commands() {
        let text = "#cloud-config\nfqdn: node-a.example.org\nssh_authorized_keys: [k0]\nusers:\n- default\n- {name: ops, ssh_authorized_keys: [k1]}\npackages: [curl, kubelet=1.35.2-1.1, [kubeadm, 1.35.2-1.1]]\nruncmd:\n- echo a\n- [echo, \"it's\", 1]\n";
        let config = CloudConfig::read(text).unwrap();
        assert_eq!(config.hostname(), Some("node-a"));
        assert_eq!(config.ssh_keys(), [(String::new(), "k0".to_owned()), ("ops".to_owned(), "k1".to_owned())]);
        assert_eq!(config.packages(), ["curl", "kubelet=1.35.2-1.1", "kubeadm=1.35.2-1.1"]);
        let lines: Vec<String> = config.runcmd.iter().filter_map(command_line).collect();
        assert_eq!(lines, ["echo a", r"'echo' 'it'\''s' '1'"]);
        assert!(CloudConfig::read("#cloud-config\nwrite_files: {a: b}\n").is_err());
        assert!(CloudConfig::read("#cloud-config\n").unwrap().runcmd.is_empty());
    }
}
