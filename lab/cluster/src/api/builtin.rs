//! The kinds that every cluster serves.

use super::kind::Kind;

const NAMESPACED: u8 = 1;
const STATUS: u8 = 2;
const GENERATION: u8 = 4;
const SCALE: u8 = 8;
const QUESTION: u8 = 16;

/// group, version, kind, plural, short names, categories, flags, actions.
type Row =
    (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, u8, &'static [&'static str]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("", "v1", "Namespace", "namespaces", "ns", "", STATUS, &["finalize"]),
    ("", "v1", "Node", "nodes", "no", "", STATUS, &[]),
    ("", "v1", "Pod", "pods", "po", "all", NAMESPACED | STATUS, &["eviction", "binding"]),
    ("", "v1", "Service", "services", "svc", "all", NAMESPACED | STATUS, &[]),
    ("", "v1", "Secret", "secrets", "", "", NAMESPACED, &[]),
    ("", "v1", "ConfigMap", "configmaps", "cm", "", NAMESPACED, &[]),
    ("", "v1", "ServiceAccount", "serviceaccounts", "sa", "", NAMESPACED, &["token"]),
    ("", "v1", "Event", "events", "ev", "", NAMESPACED, &[]),
    ("", "v1", "Endpoints", "endpoints", "ep", "", NAMESPACED, &[]),
    ("", "v1", "PersistentVolume", "persistentvolumes", "pv", "", STATUS, &[]),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "", NAMESPACED | STATUS, &[]),
    ("", "v1", "ResourceQuota", "resourcequotas", "quota", "", NAMESPACED | STATUS, &[]),
    ("", "v1", "LimitRange", "limitranges", "limits", "", NAMESPACED, &[]),
    ("", "v1", "PodTemplate", "podtemplates", "", "", NAMESPACED, &[]),
    ("apps", "v1", "Deployment", "deployments", "deploy", "all", NAMESPACED | STATUS | GENERATION | SCALE, &[]),
    ("apps", "v1", "DaemonSet", "daemonsets", "ds", "all", NAMESPACED | STATUS | GENERATION, &[]),
    ("apps", "v1", "StatefulSet", "statefulsets", "sts", "all", NAMESPACED | STATUS | GENERATION | SCALE, &[]),
    ("apps", "v1", "ReplicaSet", "replicasets", "rs", "all", NAMESPACED | STATUS | GENERATION | SCALE, &[]),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", "", "", NAMESPACED, &[]),
    ("batch", "v1", "Job", "jobs", "", "all", NAMESPACED | STATUS | GENERATION, &[]),
    ("batch", "v1", "CronJob", "cronjobs", "cj", "all", NAMESPACED | STATUS | GENERATION, &[]),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", "all", NAMESPACED | STATUS, &[]),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", "", "", NAMESPACED, &[]),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "", "", NAMESPACED, &[]),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", "", 0, &[]),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", "", 0, &[]),
    ("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", "csr", "", STATUS, &["approval"]),
    ("coordination.k8s.io", "v1", "Lease", "leases", "", "", NAMESPACED, &[]),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "", "", NAMESPACED, &[]),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "crd,crds", "api-extensions", STATUS | GENERATION, &[]),
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices", "", "api-extensions", STATUS, &[]),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "", "api-extensions", GENERATION, &[]),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "", "api-extensions", GENERATION, &[]),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", "", NAMESPACED | GENERATION, &[]),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", "ing", "", NAMESPACED | STATUS | GENERATION, &[]),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "", "", GENERATION, &[]),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", "", NAMESPACED | STATUS | GENERATION, &[]),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "pc", "", 0, &[]),
    ("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "", "", 0, &[]),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", "sc", "", 0, &[]),
    ("storage.k8s.io", "v1", "CSIDriver", "csidrivers", "", "", 0, &[]),
    ("storage.k8s.io", "v1", "CSINode", "csinodes", "", "", 0, &[]),
    ("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", "", "", STATUS, &[]),
    ("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "", "", QUESTION, &[]),
    ("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", "", "", QUESTION, &[]),
    ("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", "", "", QUESTION, &[]),
];

/// The built-in kinds, in the order in which discovery lists them.
pub fn kinds() -> Vec<Kind> {
    TABLE.iter().map(row).collect()
}

fn row(&(group, version, kind, plural, short, categories, flags, actions): &Row) -> Kind {
    let words = |text: &str| text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let scale = || ("/spec/replicas".to_owned(), "/status/replicas".to_owned(), "/spec/selector".to_owned());
    Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_ascii_lowercase(),
        short: words(short),
        categories: words(categories),
        namespaced: flags & NAMESPACED != 0,
        status: flags & STATUS != 0,
        scale: (flags & SCALE != 0).then(scale),
        actions: actions.to_vec(),
        generation: flags & GENERATION != 0,
        question: flags & QUESTION != 0,
        custom: false,
        columns: Vec::new(),
        schema: None,
    }
}
