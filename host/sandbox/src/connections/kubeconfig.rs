//! Where a connection's server, authorities and credential come from: its own keys, a kubeconfig file, or the pod that we run in.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};

use super::config::{Auth, ConnectionConfig, Endpoint, Kind, Kubernetes, SecretSource};
use super::{read, tls};

/// What a connection is made of, with all files read but those of secrets.
pub(super) struct Resolved {
    pub endpoints: Vec<Endpoint>,
    pub tls: tls::Material,
    pub auth: Auth,
}

/// What a pod is told about its cluster.
pub(crate) struct Pod {
    /// Directory of its service account.
    pub account: PathBuf,
    /// Address of the API server.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<String>,
}

impl Pod {
    /// The one that we run in, if we do.
    pub fn ours() -> Self {
        Pod {
            account: PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount"),
            host: std::env::var("KUBERNETES_SERVICE_HOST").ok(),
            port: std::env::var("KUBERNETES_SERVICE_PORT").ok(),
        }
    }
}

pub(super) fn resolve(config: &ConnectionConfig, pod: &Pod) -> Result<Resolved, String> {
    let own = own(config)?;
    match &config.kubernetes {
        None => Ok(own),
        Some(_) if config.kind != Kind::Kube => Err("`kubernetes` is for connections of kind `kube`".to_owned()),
        Some(_) if !config.endpoints.is_empty() => {
            Err("give either `endpoints` or `kubernetes`, which says where the server is".to_owned())
        }
        Some(Kubernetes::InCluster) => in_cluster(own, pod),
        Some(Kubernetes::Kubeconfig { file, context }) => from_file(own, file, context.as_deref()),
    }
}

fn own(config: &ConnectionConfig) -> Result<Resolved, String> {
    let tls = &config.tls;
    let client = match (&tls.client_cert_file, &tls.client_key_file) {
        (Some(cert), Some(key)) => Some((read("tls.client-cert-file", cert)?, read("tls.client-key-file", key)?)),
        (None, None) => None,
        _ => return Err("tls.client-cert-file and tls.client-key-file belong together".to_owned()),
    };
    let ca = tls.ca_file.as_deref().map(|path| read("tls.ca-file", path)).transpose()?;
    Ok(Resolved {
        endpoints: config.endpoints.clone(),
        tls: tls::Material { ca, fingerprint: tls.fingerprint.clone(), client, server_name: tls.server_name.clone() },
        auth: config.auth.clone(),
    })
}

fn in_cluster(mut own: Resolved, pod: &Pod) -> Result<Resolved, String> {
    let missing = |name| format!("not in a cluster: {name} is not set");
    let host = pod.host.as_deref().ok_or_else(|| missing("KUBERNETES_SERVICE_HOST"))?;
    let port = pod.port.as_deref().ok_or_else(|| missing("KUBERNETES_SERVICE_PORT"))?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    own.endpoints = vec![Endpoint { url: format!("https://{host}:{port}"), label: None }];
    own.tls.ca = Some(read("CA of the service account", &pod.account.join("ca.crt"))?);
    own.auth = Auth::Bearer { secret: SecretSource::File(pod.account.join("token")) };
    Ok(own)
}

fn from_file(mut own: Resolved, file: &Path, context: Option<&str>) -> Result<Resolved, String> {
    let kubeconfig = Kubeconfig::read_from(file).map_err(|error| match error {
        KubeconfigError::ReadConfig(error, _) => format!("kubeconfig {}: {error}", file.display()),
        // What a parser says may hold the lines themselves, and credentials stand there.
        _ => format!("{} is no kubeconfig: no YAML, or of another shape", file.display()),
    })?;
    let name = context.or(kubeconfig.current_context.as_deref()).ok_or("the kubeconfig has no current context")?;
    let context = kubeconfig.contexts.iter().find(|c| c.name == name).and_then(|c| c.context.as_ref());
    let context = context.ok_or_else(|| format!("the kubeconfig has no context `{name}`"))?;
    let cluster = kubeconfig.clusters.iter().find(|c| c.name == context.cluster).and_then(|c| c.cluster.as_ref());
    let cluster = cluster.ok_or_else(|| format!("the kubeconfig has no cluster `{}`", context.cluster))?;
    let user = kubeconfig.auth_infos.iter().find(|u| Some(&u.name) == context.user.as_ref());
    take_cluster(&mut own, cluster)?;
    if let Some(user) = user.and_then(|u| u.auth_info.as_ref()) {
        take_user(&mut own, user)?;
    }
    Ok(own)
}

fn take_cluster(own: &mut Resolved, cluster: &Cluster) -> Result<(), String> {
    let server = cluster.server.clone().ok_or("the kubeconfig's cluster has no server")?;
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Err("the kubeconfig says insecure-skip-tls-verify; give the CA, or tls.fingerprint".to_owned());
    }
    if cluster.proxy_url.is_some() {
        return Err("the kubeconfig names a proxy-url, which is not supported".to_owned());
    }
    own.endpoints = vec![Endpoint { url: server, label: None }];
    let data = cluster.certificate_authority_data.as_deref();
    if let Some(ca) = inline_or_file("certificate-authority", data, cluster.certificate_authority.as_deref())? {
        own.tls.ca = Some(ca);
    }
    if let Some(name) = &cluster.tls_server_name {
        own.tls.server_name = Some(name.clone());
    }
    Ok(())
}

fn take_user(own: &mut Resolved, user: &AuthInfo) -> Result<(), String> {
    if user.exec.is_some() || user.auth_provider.is_some() {
        return Err(
            "the kubeconfig's user needs exec or an auth provider, which is not supported; use a token file".to_owned()
        );
    }
    if user.impersonate.is_some() {
        return Err("the kubeconfig's user impersonates another, which is not supported".to_owned());
    }
    let expose = |secret: &secrecy::SecretString| secrecy::ExposeSecret::expose_secret(secret).to_owned();
    let key_data = user.client_key_data.as_ref().map(expose);
    let certificate = inline_or_file(
        "client-certificate",
        user.client_certificate_data.as_deref(),
        user.client_certificate.as_deref(),
    )?;
    let key = inline_or_file("client-key", key_data.as_deref(), user.client_key.as_deref())?;
    if let (Some(certificate), Some(key)) = (certificate, key) {
        own.tls.client = Some((certificate, key));
    }
    if let Some(file) = &user.token_file {
        own.auth = Auth::Bearer { secret: SecretSource::File(PathBuf::from(file)) };
    } else if let Some(token) = &user.token {
        own.auth = Auth::Bearer { secret: SecretSource::Value(expose(token)) };
    } else if let (Some(name), Some(password)) = (&user.username, &user.password) {
        own.auth = Auth::Basic { user: name.clone(), secret: SecretSource::Value(expose(password)) };
    }
    Ok(())
}

fn inline_or_file(what: &str, data: Option<&str>, file: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    match (data, file) {
        (Some(data), _) => match STANDARD.decode(data.trim()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) => Err(format!("the kubeconfig's {what}-data: {e}")),
        },
        (None, Some(file)) => read(what, Path::new(file)).map(Some),
        (None, None) => Ok(None),
    }
}
