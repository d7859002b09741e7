//! Kinds and objects, as paths of the API.

use agentkube_contract::Fault;

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub group: String,
    pub version: String,
    pub plural: String,
}

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub kind: Kind,
    /// `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    pub name: String,
}

impl Kind {
    /// Whether these are Secrets.
    pub fn is_secret(&self) -> bool {
        self.group.is_empty() && self.plural == "secrets"
    }

    /// Path of the collection.
    pub fn path(&self, namespace: Option<&str>) -> Result<String, Fault> {
        let mut path = match self.group.as_str() {
            "" => format!("/api/{}", segment(&self.version)?),
            group => format!("/apis/{}/{}", segment(group)?, segment(&self.version)?),
        };
        if let Some(namespace) = namespace {
            path.push_str("/namespaces/");
            path.push_str(segment(namespace)?);
        }
        path.push('/');
        path.push_str(segment(&self.plural)?);
        Ok(path)
    }
}

impl Target {
    /// Path of the object, or of a subresource of it.
    pub fn path(&self, subresource: Option<&str>) -> Result<String, Fault> {
        let mut path = self.kind.path(self.namespace.as_deref())?;
        path.push('/');
        path.push_str(segment(&self.name)?);
        if let Some(subresource) = subresource {
            path.push('/');
            path.push_str(segment(subresource)?);
        }
        Ok(path)
    }
}

/// One segment of a path, which can never become two.
fn segment(text: &str) -> Result<&str, Fault> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
    if !text.is_empty() && text.len() <= 253 && text.bytes().all(plain) && text != "." && text != ".." {
        return Ok(text);
    }
    Err(Fault::invalid("BAD_NAME", "group, version, plural, namespace and name are of letters, digits and - . _ :"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_path() {
        let kind = Kind { group: "apps".into(), version: "v1".into(), plural: "deployments".into() };
        let target = |name: &str| Target { kind: kind.clone(), namespace: Some("ns".into()), name: name.into() };
        assert_eq!(target("web").path(Some("scale")).unwrap(), "/apis/apps/v1/namespaces/ns/deployments/web/scale");
        for bad in ["", ".", "..", "a/b", "a%2fb", "a?b", "a b"] {
            assert_eq!(target(bad).path(None).unwrap_err().code, "BAD_NAME", "{bad}");
        }
    }
}
