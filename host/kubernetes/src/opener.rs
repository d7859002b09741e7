//! Opening tenant clusters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use agentkube_contract::{Clock, Fault, Millis, Owner, Random, Reference, Tenant, Tenants};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::addons::AddonSettings;
use crate::address::{TenantAddresses, pin};
use crate::session::{Session, Sessions, connect};
use crate::{ClusterTenant, Error, Result, TenantSettings, kubeconfig};

/// How long a resolved name is believed, in milliseconds.
const RESOLVED_FOR: Millis = 60_000;

/// Where the bytes behind a kubeconfig reference come from.
#[async_trait]
pub trait KubeconfigSource: Send + Sync {
    /// The kubeconfig as it is now. `provider` is the configured name of the plugin that gave the reference, `owner` the service
    /// that the reference must be bound to.
    async fn resolve(
        &self,
        owner: &Owner,
        provider: &str,
        reference: &Reference,
    ) -> std::result::Result<Zeroizing<Vec<u8>>, Fault>;
}

/// Opens tenant clusters, and keeps what it opened: a kubeconfig that has not changed gives the same connection.
pub struct Opener {
    shared: Arc<Shared>,
    addons: Arc<AddonSettings>,
    random: Arc<dyn Random>,
    open: Mutex<HashMap<(Identity, String, Reference), Kept>>,
}

/// The parts of an owner that make it who it is.
type Identity = (String, agentkube_contract::ServiceKey);

struct Kept {
    used: u64,
    tenant: Arc<ClusterTenant>,
    sessions: Arc<Rotating>,
}

struct Shared {
    source: Arc<dyn KubeconfigSource>,
    addresses: TenantAddresses,
    settings: TenantSettings,
    clock: Arc<dyn Clock>,
}

impl Opener {
    /// An opener. `addresses` says for each provider where its tenants' API servers may lie; a provider without any opens none.
    pub fn new(
        source: Arc<dyn KubeconfigSource>,
        addresses: TenantAddresses,
        settings: TenantSettings,
        addons: AddonSettings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        // Fails only where somebody installed one before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Opener {
            shared: Arc::new(Shared { source, addresses, settings, clock }),
            addons: Arc::new(addons),
            random,
            open: Mutex::default(),
        }
    }

    /// Opens a tenant; see [`Tenants::open`]. The same as the trait's, with the type that also gives metrics.
    pub async fn open_tenant(
        &self,
        owner: &Owner,
        provider: &str,
        reference: &Reference,
    ) -> Result<Arc<ClusterTenant>> {
        let shared = &self.shared;
        let bytes = shared.source.resolve(owner, provider, reference).await?;
        let key = ((owner.installation.clone(), owner.key.clone()), provider.to_owned(), reference.clone());
        let digest: [u8; 32] = Sha256::digest(&*bytes).into();
        let known = self.kept(&key);
        if let Some((tenant, sessions)) = &known
            && let session = sessions.current()
            && session.digest == digest
            && shared.clock.now() < session.stale
        {
            return Ok(tenant.clone());
        }
        let session = shared.session(provider, &bytes, digest).await?;
        if let Some((tenant, sessions)) = known {
            sessions.replace(session);
            return Ok(tenant);
        }
        let sessions = Arc::new(Rotating {
            shared: shared.clone(),
            owner: owner.clone(),
            provider: provider.to_owned(),
            reference: reference.clone(),
            session: RwLock::new(session),
        });
        let tenant = Arc::new(ClusterTenant::new(
            owner.clone(),
            sessions.clone(),
            shared.settings.clone(),
            self.addons.clone(),
            shared.clock.clone(),
            self.random.clone(),
        ));
        self.keep(key, Kept { used: shared.clock.now(), tenant: tenant.clone(), sessions });
        Ok(tenant)
    }

    /// Forgets what is kept of a service, once its cluster is gone.
    pub fn forget(&self, owner: &Owner) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|((installation, key), ..), _| *installation != owner.installation || *key != owner.key);
    }

    fn kept(&self, key: &(Identity, String, Reference)) -> Option<(Arc<ClusterTenant>, Arc<Rotating>)> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = open.get_mut(key)?;
        kept.used = self.shared.clock.now();
        Some((kept.tenant.clone(), kept.sessions.clone()))
    }

    fn keep(&self, key: (Identity, String, Reference), kept: Kept) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while open.len() >= self.shared.settings.cached.max(1) {
            let Some(oldest) = open.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone()) else { break };
            open.remove(&oldest);
        }
        open.insert(key, kept);
    }
}

#[async_trait]
impl Tenants for Opener {
    async fn open(
        &self,
        owner: &Owner,
        provider: &str,
        kubeconfig: &Reference,
    ) -> agentkube_contract::Result<Arc<dyn Tenant>> {
        Ok(self.open_tenant(owner, provider, kubeconfig).await?)
    }
}

impl Shared {
    async fn session(&self, provider: &str, bytes: &[u8], digest: [u8; 32]) -> Result<Arc<Session>> {
        let access = kubeconfig::parse(bytes)?;
        let allowed = self.addresses.get(provider).map(Vec::as_slice).unwrap_or_default();
        let address = pin(provider, allowed, &access.host, access.port, self.settings.connect_timeout()).await?;
        let client = connect(&access, address, &self.settings)?;
        let by_address = access.host.parse::<std::net::IpAddr>().is_ok();
        let stale = if by_address { Millis::MAX } else { self.clock.now().saturating_add(RESOLVED_FOR) };
        Ok(Arc::new(Session { client, ca: access.ca, digest, stale }))
    }
}

/// A session that follows the rotation of its kubeconfig.
struct Rotating {
    shared: Arc<Shared>,
    owner: Owner,
    provider: String,
    reference: Reference,
    session: RwLock<Arc<Session>>,
}

impl Rotating {
    fn replace(&self, session: Arc<Session>) {
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = session;
    }
}

#[async_trait]
impl Sessions for Rotating {
    fn current(&self) -> Arc<Session> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn renew(&self, stale: &Session) -> Result<Option<Arc<Session>>> {
        // Another call may have renewed it meanwhile.
        let current = self.current();
        if current.digest != stale.digest {
            return Ok(Some(current));
        }
        let bytes =
            self.shared.source.resolve(&self.owner, &self.provider, &self.reference).await.map_err(Error::from)?;
        let digest: [u8; 32] = Sha256::digest(&*bytes).into();
        if digest == stale.digest {
            return Ok(None);
        }
        let session = self.shared.session(&self.provider, &bytes, digest).await?;
        self.replace(session.clone());
        Ok(Some(session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Dice, TestClock, kubeconfig, owner};

    struct Source(Mutex<serde_json::Value>);

    #[async_trait]
    impl KubeconfigSource for Source {
        async fn resolve(&self, _: &Owner, _: &str, _: &Reference) -> std::result::Result<Zeroizing<Vec<u8>>, Fault> {
            Ok(Zeroizing::new(self.0.lock().unwrap().to_string().into_bytes()))
        }
    }

    fn opener(server: &str) -> (Arc<Source>, Opener) {
        let source = Arc::new(Source(Mutex::new(kubeconfig(server))));
        let addresses = [("cp".to_owned(), vec!["10.0.0.0/8".parse().unwrap()])].into();
        let settings = TenantSettings { cached: 2, ..TenantSettings::default() };
        let (clock, dice) = (Arc::new(TestClock::default()), Arc::new(Dice));
        (source.clone(), Opener::new(source, addresses, settings, AddonSettings::default(), clock, dice))
    }

    #[tokio::test]
    async fn an_unchanged_kubeconfig_gives_the_same_connection_and_a_rotated_one_another() {
        let (source, opener) = opener("https://10.0.0.1:6443");
        let reference = Reference("r".into());
        let first = opener.open_tenant(&owner(), "cp", &reference).await.unwrap();
        let again = opener.open_tenant(&owner(), "cp", &reference).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let before = first.session();
        source.0.lock().unwrap()["users"][0]["user"]["token"] = "rotated".into();
        let rotated = opener.open_tenant(&owner(), "cp", &reference).await.unwrap();
        assert!(Arc::ptr_eq(&first, &rotated), "who holds the tenant follows the rotation");
        assert!(!Arc::ptr_eq(&before, &first.session()));
        opener.forget(&owner());
        assert!(!Arc::ptr_eq(&first, &opener.open_tenant(&owner(), "cp", &reference).await.unwrap()));
    }

    #[tokio::test]
    async fn only_so_many_are_kept() {
        let (_, opener) = opener("https://10.0.0.1:6443");
        for name in ["a", "b", "c"] {
            opener.open_tenant(&owner(), "cp", &Reference(name.into())).await.unwrap();
        }
        assert_eq!(opener.open.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn refusals_are_faults_with_codes() {
        let reference = Reference("r".into());
        let code = |server: &str, provider: &'static str| {
            let (_, opener) = opener(server);
            let (owner, reference) = (owner(), reference.clone());
            async move { opener.open(&owner, provider, &reference).await.err().unwrap().code }
        };
        assert_eq!(code("https://192.0.2.1:6443", "cp").await, "TENANT_ADDRESS");
        assert_eq!(code("https://10.0.0.1:6443", "other").await, "TENANT_ADDRESS");
        assert_eq!(code("http://10.0.0.1:6443", "cp").await, "KUBECONFIG_HTTP");
    }
}
