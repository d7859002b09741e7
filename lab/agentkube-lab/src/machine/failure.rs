//! Why a machine did not become a node.

use super::transport::TransportError;

/// Why a machine did not become a node. The texts are close to those of kubeadm and kubelet, by which people search.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The user data cannot be understood.
    #[error("cloud-init: {0}")]
    UserData(String),
    /// No kubelet was installed, or none whose version could be told.
    #[error("kubeadm: command not found")]
    NotInstalled,
    /// The arguments or the JoinConfiguration are wrong.
    #[error("{0}")]
    Configuration(String),
    /// It has joined a cluster already.
    #[error("[preflight] Some fatal errors occurred: /etc/kubernetes/kubelet.conf already exists")]
    AlreadyJoined,
    /// The machine has no address.
    #[error("dial tcp: connect: network is unreachable")]
    NoNetwork,
    /// Nobody answers at the endpoint.
    #[error("couldn't validate the identity of the API Server: {endpoint}: {reason}")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// What happened last.
        reason: String,
    },
    /// `cluster-info` is not there or may not be read.
    #[error("couldn't validate the identity of the API Server: failed to request the cluster-info ConfigMap: {0}")]
    NoClusterInfo(String),
    /// `cluster-info` has no signature of this token: the token is unknown, or it has expired.
    #[error("could not find a JWS signature in the cluster-info ConfigMap for token ID {0:?}")]
    NoSignature(String),
    /// The signature does not fit: the secret half of the token is wrong.
    #[error("failed to verify JWS signature of received cluster info object, can't trust this API Server")]
    BadSignature,
    /// The CA in `cluster-info` is none of the pinned ones.
    #[error("cluster CA found in cluster-info ConfigMap is invalid: none of the public keys {0:?} are pinned")]
    NotPinned(String),
    /// The server does not have a certificate of the CA in `cluster-info`.
    #[error("couldn't validate the identity of the API Server: {0}")]
    Untrusted(String),
    /// The server does not accept the token.
    #[error("{what}: Unauthorized")]
    Unauthorized {
        /// What was asked for.
        what: String,
    },
    /// The server refused something.
    #[error("{what}: {status} {message}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Status of the answer.
        status: u16,
        /// Its message.
        message: String,
    },
    /// The kubelet is newer than the control plane, or too old for it.
    #[error(
        "the kubelet version is {direction} than the control plane version supports. Kubelet version: {kubelet:?} Control plane version: {control_plane:?}"
    )]
    VersionSkew {
        /// `higher` or `lower`.
        direction: &'static str,
        /// Version of the kubelet.
        kubelet: String,
        /// Version of the control plane.
        control_plane: String,
    },
    /// Another node of this name is Ready.
    #[error("a Node with name {0:?} and status \"Ready\" already exists in the cluster")]
    NodeExists(String),
    /// The certificate was refused or did not come.
    #[error("error execution phase kubelet-start: {0}")]
    Certificate(String),
    /// The kubelet refuses its own flags.
    #[error("failed to validate kubelet flags: {0}")]
    Kubelet(String),
    /// The connection to the server broke.
    #[error(transparent)]
    Transport(#[from] TransportError),
}
