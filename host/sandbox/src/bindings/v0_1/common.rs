//! Conversions of the types that all interfaces share.

use agentkube_contract::{
    Call, Class, Fault, Finding, MachineKey, Outcome, Owned, Owner, Page, Sample, Scope, ServiceKey, Severity,
};

use super::capability::types as wit;
use super::job_source_world::agentkube::provider::types as provider;

/// Two enums that have the same cases under the same names.
macro_rules! same_cases {
    ($wit:path, $domain:path, $($case:ident)*) => {
        impl From<$wit> for $domain {
            fn from(case: $wit) -> Self {
                type From = $wit;
                type To = $domain;
                match case { $(From::$case => To::$case,)* }
            }
        }

        impl From<$domain> for $wit {
            fn from(case: $domain) -> Self {
                type From = $domain;
                type To = $wit;
                match case { $(From::$case => To::$case,)* }
            }
        }
    };
}
pub(super) use same_cases;

same_cases!(
    wit::Class, Class,
    Invalid Denied Unauthorized NotFound Conflict Exhausted Busy Unavailable Timeout Unsupported Internal
);
same_cases!(wit::Outcome, Outcome, NotApplied Applied Unknown);
same_cases!(wit::Scope, Scope, Request Machine Placement Pool Provider);
same_cases!(provider::Severity, Severity, Ok Warning Error);

impl From<wit::Fault> for Fault {
    fn from(fault: wit::Fault) -> Self {
        Fault {
            class: fault.class.into(),
            scope: fault.scope.into(),
            code: fault.code,
            message: fault.message,
            outcome: fault.outcome.into(),
            retry_after_ms: fault.retry_after_ms,
        }
    }
}

impl From<Fault> for wit::Fault {
    fn from(fault: Fault) -> Self {
        wit::Fault {
            class: fault.class.into(),
            scope: fault.scope.into(),
            code: fault.code,
            message: fault.message,
            outcome: fault.outcome.into(),
            retry_after_ms: fault.retry_after_ms,
        }
    }
}

impl From<&Owner> for provider::Owner {
    fn from(owner: &Owner) -> Self {
        provider::Owner {
            installation: owner.installation.clone(),
            source: owner.key.source.clone(),
            service: owner.key.service.clone(),
            cluster: owner.cluster.clone(),
            display_name: owner.display_name.clone(),
        }
    }
}

impl From<provider::Owner> for Owner {
    fn from(owner: provider::Owner) -> Self {
        Owner {
            installation: owner.installation,
            key: ServiceKey { source: owner.source, service: owner.service },
            cluster: owner.cluster,
            display_name: owner.display_name,
        }
    }
}

impl From<&Call> for provider::Call {
    fn from(call: &Call) -> Self {
        provider::Call { owner: (&call.owner).into(), deadline_ms: call.deadline, attempt: call.attempt }
    }
}

impl From<&MachineKey> for provider::MachineKey {
    fn from(key: &MachineKey) -> Self {
        provider::MachineKey { pool: key.pool.clone(), index: key.index, name: key.name.clone() }
    }
}

impl From<provider::Finding> for Finding {
    fn from(finding: provider::Finding) -> Self {
        Finding {
            code: finding.code,
            severity: finding.severity.into(),
            message: finding.message,
            remedy: finding.remedy,
        }
    }
}

impl From<provider::Sample> for Sample {
    fn from(sample: provider::Sample) -> Self {
        Sample { name: sample.name, resource: sample.resource, value: sample.value }
    }
}

impl From<&Sample> for provider::Sample {
    fn from(sample: &Sample) -> Self {
        provider::Sample { name: sample.name.clone(), resource: sample.resource.clone(), value: sample.value }
    }
}

impl From<provider::OwnedPage> for Page<Owned> {
    fn from(page: provider::OwnedPage) -> Self {
        let items = page.items.into_iter();
        let items = items.map(|o| Owned { owner: o.owner.into(), kind: o.kind, id: o.id, name: o.name }).collect();
        Page { items, next: page.next }
    }
}

/// Each item, converted.
pub(super) fn all<From, To: std::convert::From<From>>(items: impl IntoIterator<Item = From>) -> Vec<To> {
    items.into_iter().map(To::from).collect()
}
