//! Relative paths are relative to the directory of the configuration file, wherever the daemon is started.

use std::path::{Path, PathBuf};

use agentkube_sandbox::connections::config::{Auth, Kubernetes, SecretSource};

use super::Config;

impl Config {
    /// Makes every path of the configuration absolute, or at least independent of the working directory.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let at = |path: &mut PathBuf| *path = base.join(&*path);
        let secret = |secret: &mut SecretSource| {
            if let SecretSource::File(path) = secret {
                at(path);
            }
        };
        at(&mut self.data_dir);
        self.admin_socket.iter_mut().for_each(at);
        for connection in self.connections.values_mut() {
            let tls = &mut connection.tls;
            [&mut tls.ca_file, &mut tls.client_cert_file, &mut tls.client_key_file].into_iter().flatten().for_each(at);
            match &mut connection.auth {
                Auth::None => {}
                Auth::Bearer { secret: s } | Auth::Basic { secret: s, .. } | Auth::Header { secret: s, .. } => {
                    secret(s)
                }
            }
            if let Some(Kubernetes::Kubeconfig { file, .. }) = &mut connection.kubernetes {
                at(file);
            }
        }
        for plugin in self.plugins.values_mut() {
            at(&mut plugin.file);
            plugin.grants.iter_mut().filter_map(|grant| grant.path.as_mut()).for_each(at);
        }
        self.secrets.values_mut().for_each(secret);
        self.addons.values_mut().for_each(|addon| at(&mut addon.path));
        self.bootstrap.template.iter_mut().for_each(at);
        self.bootstrap.packages.key.iter_mut().for_each(at);
        self.bootstrap.registries.values_mut().filter_map(|registry| registry.ca.as_mut()).for_each(at);
    }
}
