//! Names of modules, and what of them stays when a model runs.

/// The module that the tensor called `name` is the weight of; another tensor's own name.
pub(crate) fn module(name: &str) -> &str {
    name.strip_suffix(".weight").unwrap_or(name)
}

/// The end of `name` that stays whatever a consumer puts before it.
pub(crate) fn common_end(name: &str) -> &str {
    let mut end = from_stack(name);
    while let Some(rest) = ["model.", "language_model."].iter().find_map(|p| end.strip_prefix(p)) {
        end = rest;
    }
    end
}

/// From the name part before the first number on: `layers.0.mlp.gate`.
pub(crate) fn from_stack(name: &str) -> &str {
    let (mut before, mut start) = (0, 0);
    for part in name.split('.') {
        if start > 0 && part.bytes().all(|byte| byte.is_ascii_digit()) {
            return &name[before..];
        }
        before = start;
        start += part.len() + 1;
    }
    name
}

/// Name parts as a regular expression that matches them alone.
pub(crate) fn escaped(parts: &str) -> String {
    parts.replace('.', r"\.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_before_their_first_number() {
        assert_eq!(from_stack("model.language_model.layers.0.mlp.gate"), "layers.0.mlp.gate");
        assert_eq!(from_stack("lm_head"), "lm_head");
        assert_eq!(common_end("model.language_model.lm_head"), "lm_head");
        assert_eq!(common_end("cls.predictions.decoder"), "cls.predictions.decoder");
    }
}
