//! The credential of a connection: put on the way out, taken out of what comes back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use zeroize::Zeroizing;

use super::config::Auth;
use super::secret::Secret;

/// The credential of a connection.
pub(crate) enum Credential {
    None,
    Bearer(Secret),
    Basic { user: String, secret: Secret },
    Header { name: HeaderName, template: String, secret: Secret },
}

impl Credential {
    /// The configured credential; nothing is read yet.
    pub fn new(auth: &Auth) -> Result<Self, String> {
        Ok(match auth {
            Auth::None => Credential::None,
            Auth::Bearer { secret } => Credential::Bearer(Secret::new(secret.clone())),
            Auth::Basic { user, secret } => {
                Credential::Basic { user: user.clone(), secret: Secret::new(secret.clone()) }
            }
            Auth::Header { name, template, secret } => {
                if !template.contains("{secret}") {
                    return Err("auth.template has no `{secret}`".to_owned());
                }
                Credential::Header {
                    name: name.parse().map_err(|_| format!("auth.name `{name}` is no header name"))?,
                    template: template.clone(),
                    secret: Secret::new(secret.clone()),
                }
            }
        })
    }

    /// The header that carries it, which a plugin may not set.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Credential::None => None,
            Credential::Bearer(_) | Credential::Basic { .. } => Some(&header::AUTHORIZATION),
            Credential::Header { name, .. } => Some(name),
        }
    }

    /// Puts it into the headers; gives the texts that must not come back.
    pub fn apply(&self, headers: &mut HeaderMap) -> Result<Vec<Zeroizing<String>>, String> {
        let (name, value, hidden) = match self {
            Credential::None => return Ok(Vec::new()),
            Credential::Bearer(secret) => {
                let secret = secret.value().map_err(|e| e.to_string())?;
                (&header::AUTHORIZATION, Zeroizing::new(format!("Bearer {}", *secret)), vec![secret])
            }
            Credential::Basic { user, secret } => {
                let secret = secret.value().map_err(|e| e.to_string())?;
                let pair = Zeroizing::new(format!("{user}:{}", *secret));
                let pair = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                (&header::AUTHORIZATION, Zeroizing::new(format!("Basic {}", *pair)), vec![secret, pair])
            }
            Credential::Header { name, template, secret } => {
                let secret = secret.value().map_err(|e| e.to_string())?;
                (name, Zeroizing::new(template.replace("{secret}", &secret)), vec![secret])
            }
        };
        let mut value =
            HeaderValue::from_str(&value).map_err(|_| "the credential holds characters that no header can")?;
        value.set_sensitive(true);
        headers.insert(name.clone(), value);
        Ok(hidden)
    }
}
