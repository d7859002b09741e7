//! kubeconfig files.

use crate::encoding::base64;
use crate::pki::Pair;

/// How a kubeconfig proves who uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A client certificate.
    Certificate(Pair),
    /// A bearer token.
    Token(String),
}

/// A kubeconfig of one cluster, one user and one context, YAML as kubeadm writes it.
pub fn kubeconfig(cluster: &str, server: &str, ca: &str, user: &str, credential: &Credential) -> String {
    let proof = match credential {
        Credential::Certificate(pair) => format!(
            "    client-certificate-data: {}\n    client-key-data: {}\n",
            base64(&pair.certificate),
            base64(&pair.key)
        ),
        Credential::Token(token) => format!("    token: {token}\n"),
    };
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {}\n    server: {server}\n  name: {cluster}\n\
         contexts:\n- context:\n    cluster: {cluster}\n    user: {user}\n  name: {user}@{cluster}\n\
         current-context: {user}@{cluster}\nkind: Config\npreferences: {{}}\nusers:\n- name: {user}\n  user:\n{proof}",
        base64(ca)
    )
}

/// The kubeconfig in `kube-public/cluster-info`: a server and its CA, nobody's credentials.
pub fn cluster_info(server: &str, ca: &str) -> String {
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {}\n    server: {server}\n  name: \"\"\n\
         contexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {{}}\nusers: null\n",
        base64(ca)
    )
}

/// A kubeconfig whose user runs a program: nothing that Kamaji writes, and something that no careful client executes.
pub fn with_exec(cluster: &str, server: &str, ca: &str) -> String {
    let harmless = kubeconfig(cluster, server, ca, "exec", &Credential::Token(String::new()));
    harmless.replace(
        "    token: \n",
        "    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: /bin/true\n      interactiveMode: Never\n",
    )
}
