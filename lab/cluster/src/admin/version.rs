//! Kubernetes versions.

use std::fmt;

/// A version such as `v1.33.4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Patch.
    pub patch: u32,
}

impl Version {
    /// Reads `v1.33.4` or `1.33.4`; a suffix after the patch is ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts = text.splitn(3, '.');
        let mut number = || {
            let part = parts.next()?;
            let digits = part.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse::<u32>().ok()
        };
        Some(Version { major: number()?, minor: number()?, patch: number()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Whether a kubelet may work with an API server (Kubernetes version skew policy: not newer, at most three minors older),
/// and whether `kubeadm join` of the kubelet's version would join it (the same minor).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// Same minor: joins and works.
    Same,
    /// Older within the policy: works once joined, but does not join by its own kubeadm.
    Older,
    /// More than three minors older.
    TooOld,
    /// Newer than the API server: refused by kubeadm, and unsupported.
    Newer,
    /// One of the two is no version.
    Unreadable,
}

/// Compares a kubelet's version with that of an API server.
pub fn version_skew(kubelet: &str, apiserver: &str) -> Skew {
    let (Some(kubelet), Some(apiserver)) = (Version::parse(kubelet), Version::parse(apiserver)) else {
        return Skew::Unreadable;
    };
    if kubelet.major != apiserver.major || kubelet.minor > apiserver.minor {
        return Skew::Newer;
    }
    match apiserver.minor - kubelet.minor {
        0 => Skew::Same,
        1..=3 => Skew::Older,
        _ => Skew::TooOld,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubelets_may_lag_but_not_lead() {
        assert_eq!(version_skew("v1.33.9", "v1.33.1"), Skew::Same);
        assert_eq!(version_skew("1.30.0", "v1.33.1"), Skew::Older);
        assert_eq!(version_skew("v1.29.0", "v1.33.1"), Skew::TooOld);
        assert_eq!(version_skew("v1.34.0-rc.1", "v1.33.1"), Skew::Newer);
        assert_eq!(version_skew("latest", "v1.33.1"), Skew::Unreadable);
    }
}
