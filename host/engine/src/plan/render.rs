//! A plan as text.

use std::fmt;

use super::Plan;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {}: {} steps", self.action.text(), self.cluster, self.steps.len())?;
        let number = |id: &str| self.steps.iter().position(|step| step.id == id).map_or(0, |position| position + 1);
        for (position, step) in self.steps.iter().enumerate() {
            write!(f, "{:>4}  {}", position + 1, step.id)?;
            if let Some(provider) = &step.provider {
                write!(f, "  [{provider}]")?;
            }
            if !step.after.is_empty() {
                let after: Vec<String> = step.after.iter().map(|id| number(id).to_string()).collect();
                write!(f, "  after {}", after.join(", "))?;
            }
            if step.done {
                write!(f, "  (done)")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
