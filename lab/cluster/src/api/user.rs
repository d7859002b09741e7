//! Authentication: who asks.

use lab_wire::{Millis, Request, parse_rfc3339};
use serde_json::{Value, json};

use super::failure::Failure;
use super::kind::Resource;
use super::store::Store;
use crate::encoding::unbase64;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User name.
    pub name: String,
    /// Groups, `system:authenticated` or `system:unauthenticated` included.
    pub groups: Vec<String>,
}

impl User {
    /// An authenticated user.
    pub fn new(name: &str, groups: &[String]) -> Self {
        let mut groups = groups.to_vec();
        groups.push("system:authenticated".to_owned());
        User { name: name.to_owned(), groups }
    }

    /// Whoever shows nothing.
    pub fn anonymous() -> Self {
        User { name: "system:anonymous".to_owned(), groups: vec!["system:unauthenticated".to_owned()] }
    }

    /// Whether the user belongs to a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// As `authentication.k8s.io` shows it.
    pub fn info(&self) -> Value {
        json!({"username": self.name, "groups": self.groups})
    }
}

/// A bearer token that the server accepts.
#[derive(Clone, Debug)]
pub struct StaticToken {
    /// The token.
    pub token: String,
    /// Who shows it.
    pub user: User,
    /// When it ends, if it does.
    pub expires: Option<Millis>,
}

/// Finds out who asks: client certificate, then bearer token, then nobody.
pub fn authenticate(
    request: &Request,
    tokens: &[StaticToken],
    store: &Store,
    bootstrap: bool,
    now: Millis,
) -> Result<User, Failure> {
    if let Some(name) = &request.peer.common_name {
        return Ok(User::new(name, &request.peer.organizations));
    }
    let Some(header) = request.header_value("authorization") else { return Ok(User::anonymous()) };
    let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = token.map(|(_, token)| token.trim()).ok_or_else(Failure::unauthorized)?;
    if let Some(known) = tokens.iter().find(|t| t.token == token && t.expires.is_none_or(|end| now < end)) {
        return Ok(known.user.clone());
    }
    if bootstrap && let Some(user) = bootstrap_user(token, store, now) {
        return Ok(user);
    }
    Err(Failure::unauthorized())
}

/// What a Secret of type `bootstrap.kubernetes.io/token` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapToken {
    /// First part of the token.
    pub id: String,
    /// Second part.
    pub secret: String,
    /// When it ends, if it does.
    pub expires: Option<Millis>,
    /// It may authenticate.
    pub authentication: bool,
    /// It signs `cluster-info`.
    pub signing: bool,
    /// Groups beyond `system:bootstrappers`.
    pub groups: Vec<String>,
}

impl BootstrapToken {
    /// Reads the Secret; `None` when it is no usable bootstrap token. An expiration that is no time counts as passed.
    pub fn read(secret: &Value) -> Option<Self> {
        if secret["type"] != "bootstrap.kubernetes.io/token" || secret["metadata"]["deletionTimestamp"].is_string() {
            return None;
        }
        let text = |key: &str| unbase64(secret["data"][key].as_str()?).and_then(|b| String::from_utf8(b).ok());
        let id = text("token-id")?;
        if secret["metadata"]["name"].as_str()? != format!("bootstrap-token-{id}") {
            return None;
        }
        Some(BootstrapToken {
            id,
            secret: text("token-secret")?,
            expires: text("expiration").filter(|e| !e.is_empty()).map(|e| parse_rfc3339(&e).unwrap_or(0)),
            authentication: text("usage-bootstrap-authentication").as_deref() == Some("true"),
            signing: text("usage-bootstrap-signing").as_deref() == Some("true"),
            groups: text("auth-extra-groups")
                .map(|groups| groups.split(',').filter(|g| !g.is_empty()).map(str::to_owned).collect())
                .unwrap_or_default(),
        })
    }

    /// Whether it has not ended.
    pub fn is_live(&self, now: Millis) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}

/// All bootstrap tokens that stand in `kube-system`, ended ones included.
pub fn bootstrap_tokens(store: &Store) -> Vec<BootstrapToken> {
    let secrets = Resource::new("", "secrets");
    store.list(&secrets, Some("kube-system")).filter_map(|(_, secret)| BootstrapToken::read(secret)).collect()
}

fn bootstrap_user(token: &str, store: &Store, now: Millis) -> Option<User> {
    let (id, secret) = token.split_once('.')?;
    let object = store.get(&Resource::new("", "secrets"), "kube-system", &format!("bootstrap-token-{id}"))?;
    let token = BootstrapToken::read(object)?;
    if token.secret != secret || !token.authentication || !token.is_live(now) {
        return None;
    }
    let mut groups = vec!["system:bootstrappers".to_owned()];
    groups.extend(token.groups);
    Some(User::new(&format!("system:bootstrap:{id}"), &groups))
}
