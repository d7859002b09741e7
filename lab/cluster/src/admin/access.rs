//! Users of the admin cluster.

use lab_wire::{Millis, Random};
use serde_json::{Value, json};

use super::AdminCluster;
use crate::api::{StaticToken, User};
use crate::kubeconfig::{Credential, kubeconfig};
use crate::pki::PkiError;

impl AdminCluster {
    /// The CA against which client certificates of the admin endpoint are verified, PEM.
    pub fn client_ca(&self) -> &str {
        self.authority.certificate()
    }

    /// A client certificate of an administrator.
    pub fn administrator(&self, now: Millis) -> Result<Credential, PkiError> {
        Ok(Credential::Certificate(self.authority.client("kubernetes-admin", &["system:masters"], now)?))
    }

    /// A service account `agentkube/<name>` with a bearer token and a ClusterRole of the same name with these rules.
    pub fn service_account(&mut self, name: &str, rules: Value, now: Millis, random: &mut Random) -> Credential {
        const PLACE: &str = "agentkube";
        let token = random.token(48);
        self.bind(name, rules, json!([{"kind": "ServiceAccount", "name": name, "namespace": PLACE}]), now, random);
        self.api.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}}), now, random);
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": PLACE}});
        self.api.put(account, now, random);
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{PLACE}")];
        let user = User::new(&format!("system:serviceaccount:{PLACE}:{name}"), &groups);
        self.api.add_token(StaticToken { token: token.clone(), user, expires: None });
        Credential::Token(token)
    }

    /// A user with a client certificate and a ClusterRole of the same name with these rules.
    pub fn user(&mut self, name: &str, rules: Value, now: Millis, random: &mut Random) -> Result<Credential, PkiError> {
        let subject = json!([{"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}]);
        self.bind(name, rules, subject, now, random);
        Ok(Credential::Certificate(self.authority.client(name, &[], now)?))
    }

    /// A kubeconfig for the admin cluster. `server` is its URL, `server_ca` the CA of the certificate it shows there (PEM).
    pub fn kubeconfig(&self, server: &str, server_ca: &str, user: &str, credential: &Credential) -> String {
        kubeconfig("admin", server, server_ca, user, credential)
    }

    fn bind(&mut self, name: &str, rules: Value, subjects: Value, now: Millis, random: &mut Random) {
        let version = "rbac.authorization.k8s.io/v1";
        let role = json!({"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
        let binding = json!({
            "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": name}, "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        });
        self.api.put(role, now, random);
        self.api.put(binding, now, random);
    }
}
