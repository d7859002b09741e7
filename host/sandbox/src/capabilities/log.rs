//! What a plugin logs, joined to its call and bounded.

use tracing::Level;

use crate::state::State;

/// Takes one event into the host's log.
pub(crate) fn event(state: &mut State, level: Level, message: &str, fields: &[(String, String)]) {
    if level == Level::ERROR {
        state.traces.error(message);
    }
    let size = message.len() + fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let most = state.core.limits.log_bytes;
    let before = state.logged;
    state.logged = before.saturating_add(size);
    let plugin = state.core.name.as_str();
    if state.logged > most {
        if before <= most {
            state.traces.hit("log");
            tracing::warn!(plugin, "the plugin logged more than {most} bytes in one call; the rest is left out");
        }
        return;
    }
    let fields = serde_json::to_string(
        &fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<std::collections::BTreeMap<_, _>>(),
    )
    .unwrap_or_default();
    match level {
        Level::ERROR => tracing::error!(target: "plugin", plugin, fields, "{message}"),
        Level::WARN => tracing::warn!(target: "plugin", plugin, fields, "{message}"),
        Level::INFO => tracing::info!(target: "plugin", plugin, fields, "{message}"),
        _ => tracing::debug!(target: "plugin", plugin, fields, "{message}"),
    }
}
