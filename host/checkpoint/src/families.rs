//! Model types: the rows of the [table](super::family_table) that hold for a model.

use serde_json::{Map, Value};

use super::family_table::{Family, Fused, LANGUAGE_MODELS};
use super::glob::Glob;
use super::linear;
use super::media_table::MEDIA_MODELS;
use super::source::Checkpoint;
use super::stack_table::{self, Stacks};

/// What a language model is called inside a model of several media.
const LANGUAGE: [&str; 2] = ["language_model", "llm"];

/// Last name parts of GPT-2's layers, which are Conv1D where their shapes say so.
const CONV1D: [&str; 4] = ["c_attn", "q_attn", "c_proj", "c_fc"];

/// What is known of one model: its own type, and those of its parts.
#[derive(Debug)]
pub(crate) struct Families {
    /// The type that `config.json` gives, if it does.
    pub(crate) named: Option<String>,
    rows: Vec<&'static Family>,
    /// How files hold a layer's experts, where it is in stacks that are known.
    pub(crate) stacks: Option<&'static Stacks>,
    /// The name part below which the language model is, beside which there are other media.
    language: Option<&'static str>,
    /// Whether weights are stored transposed, by the shape of one.
    transposed: bool,
}

/// Every row.
fn rows() -> impl Iterator<Item = &'static Family> {
    LANGUAGE_MODELS.iter().chain(MEDIA_MODELS)
}

impl Families {
    /// Of `checkpoint`: by its `config.json`, and by what its tensors' names and shapes tell.
    pub(crate) fn of_checkpoint(checkpoint: &Checkpoint) -> Self {
        let mut families = Self::of(checkpoint.config());
        let entries = || checkpoint.tensors().map(|(_, entry)| entry);
        // [3n, n] as a Linear, [n, 3n] as a Conv1D.
        families.transposed = entries().any(|entry| {
            entry.name.ends_with(".c_attn.weight")
                && matches!(*entry.shape.as_slice(), [rows, cols] if rows > 0 && cols == 3 * rows)
        });
        let named = |part: &&str| entries().any(|entry| entry.name.split('.').any(|p| p == *part));
        families.language = LANGUAGE.into_iter().find(named);
        families
    }

    /// Of a model with this `config.json`.
    pub(crate) fn of(config: Option<&Map<String, Value>>) -> Self {
        let text = |key: &str| config.and_then(|it| it.get(key)).and_then(Value::as_str);
        let named = text("model_type").or_else(|| text("_class_name")).map(str::to_owned);
        let mut types: Vec<String> = named.iter().cloned().collect();
        config.into_iter().for_each(|config| nested_types(config, &mut types));
        let mut families = Self::of_types(&types.iter().map(String::as_str).collect::<Vec<_>>());
        families.named = named;
        families
    }

    /// Of these types, the model's own first.
    pub(crate) fn of_types(types: &[&str]) -> Self {
        let row = |kind: &&str| rows().find(|family| family.types.contains(kind));
        let named = types.first().map(|&kind| kind.to_owned());
        let rows = types.iter().filter_map(row).collect();
        let stacks = stack_table::of_types(types);
        Self { named, rows, stacks, language: None, transposed: false }
    }

    /// Whether the model's own type is in the table.
    pub(crate) fn known(&self) -> bool {
        self.named
            .as_deref()
            .is_some_and(|named| self.rows.iter().any(|family| family.types.contains(&named)))
    }

    /// Why the module called `module` stays, if a row says so.
    pub(crate) fn kept(&self, module: &str) -> Option<&'static str> {
        let rules = self.rows.iter().flat_map(|family| family.keep);
        let rule = rules.into_iter().find(|(glob, _)| Glob::new(glob).matches(module));
        rule.map(|&(_, reason)| reason).or_else(|| {
            let leaf = module.rsplit('.').next().unwrap_or(module);
            let transposed = self.transposed && CONV1D.contains(&leaf);
            transposed.then_some("stored transposed (Conv1D)")
        })
    }

    /// The name part of `module` below which something beside the language model begins, if it is
    /// in one, and what that is.
    pub(crate) fn tower<'a>(&self, module: &'a str) -> Option<(&'a str, &'static str)> {
        linear::tower(module).or_else(|| {
            let language = self.language?;
            let mut parts = module.split('.').peekable();
            if parts.clone().any(|part| part == language) {
                return None;
            }
            let first = parts.find(|part| !["model", "thinker"].contains(part))?;
            // A module by itself is no tower: `lm_head`.
            parts.peek().map(|_| (first, linear::OUTSIDE))
        })
    }

    /// Where the rows were read.
    pub(crate) fn sources(&self) -> Vec<String> {
        let mut sources: Vec<_> = self.rows.iter().map(|row| row.source.to_owned()).collect();
        let stacks = |row: &Stacks| format!("{} (stacks {})", row.source, row.shapes);
        sources.extend(self.stacks.map(stacks));
        sources.dedup();
        sources
    }

    /// Packed parts, besides those of every model.
    pub(crate) fn fused(&self) -> impl Iterator<Item = &'static Fused> {
        self.rows.iter().flat_map(|family| family.fused)
    }

    /// Output heads that may have no tensor.
    pub(crate) fn heads(&self) -> Vec<&'static str> {
        if self.known() {
            return self.rows.iter().flat_map(|family| family.heads).copied().collect();
        }
        let mut heads: Vec<_> = rows().flat_map(|family| family.heads).copied().collect();
        heads.retain(|head| *head != "output" && *head != "head");
        heads
    }

    /// `module` as running models may call it besides.
    pub(crate) fn running(&self, module: &str) -> Vec<String> {
        let renames = self.rows.iter().flat_map(|family| family.running);
        renames
            .filter(|(file, _)| module.contains(file))
            .map(|(file, running)| module.replacen(file, running, 1))
            .collect()
    }

    /// Whether running models put other prefixes before names than files do, or may.
    pub(crate) fn renamed(&self) -> bool {
        !self.known() || self.rows.iter().any(|family| family.nested || !family.running.is_empty())
    }
}

/// Adds the types of the parts of a model, at any depth: `thinker_config.text_config` has one too.
fn nested_types(object: &Map<String, Value>, types: &mut Vec<String>) {
    for part in object.values().filter_map(Value::as_object) {
        types.extend(part.get("model_type").and_then(Value::as_str).map(str::to_owned));
        nested_types(part, types);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::stack_table::Halves;
    use super::*;

    #[test]
    fn every_row_has_types_of_its_own_and_a_source() {
        let mut seen = HashSet::new();
        for family in rows() {
            assert!(!family.types.is_empty() && family.source.len() > 40);
            assert!(family.types.iter().all(|kind| seen.insert(*kind)), "{:?}", family.types);
        }
    }

    /// The table of the page, from the rows.
    fn page() -> String {
        let mut text =
            "| `model_type` | stays besides what always does | packed, one global scale | \
                        heads that may be tied | read in |\n|---|---|---|---|---|\n"
                .to_owned();
        let code = |names: &[&str]| {
            names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        for family in rows() {
            let kept: Vec<&str> = family.keep.iter().map(|&(glob, _)| glob).collect();
            let packed: Vec<String> = family.fused.iter().map(|(_, leaves)| code(leaves)).collect();
            let cells = [
                code(family.types),
                code(&kept),
                packed.join("; "),
                code(family.heads),
                family.source.to_owned(),
            ];
            text += &format!("| {} |\n", cells.join(" | "));
        }
        text
    }

    /// The table of stacks, from its rows.
    fn stacks_page() -> String {
        let mut text = "| `model_type` | stacks | shapes | gate and up | written as | read in |\n\
                        |---|---|---|---|---|---|\n"
            .to_owned();
        let code = |names: &[&str]| {
            names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        for row in &stack_table::STACKS {
            let stacks =
                [row.gate_up, row.down].into_iter().chain(row.biases.into_iter().flatten());
            let halves = match row.halves {
                Halves::Chunked => "gate, then up",
                Halves::Interleaved => "in turn",
            };
            let cells = [
                code(row.types),
                code(&stacks.collect::<Vec<_>>()),
                row.shapes.to_owned(),
                halves.to_owned(),
                format!("`{}.N.gate_proj`, …", row.experts),
                row.source.to_owned(),
            ];
            text += &format!("| {} |\n", cells.join(" | "));
        }
        text
    }

    #[test]
    fn the_page_shows_every_row() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/families.md");
        // A packaged crate comes without the pages.
        let Ok(mut text) = std::fs::read_to_string(path) else { return };
        let write = std::env::var_os("FOUROVERSIX_WRITE_FAMILIES").is_some();
        for (name, page) in [("families", page()), ("stacks", stacks_page())] {
            let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
            let (before, rest) =
                text.split_once(&begin).expect("the page marks where the table begins");
            let (table, after) =
                rest.split_once(&end).expect("the page marks where the table ends");
            if write {
                text = format!("{before}{begin}{page}{end}{after}");
                std::fs::write(path, &text).unwrap();
            } else {
                assert_eq!(table, page, "write it anew with FOUROVERSIX_WRITE_FAMILIES=1");
            }
        }
    }

    #[test]
    fn rows_say_what_stays() {
        for (kind, module, reason) in [
            ("glm4_moe", "model.layers.1.eh_proj", Some("multi-token prediction")),
            ("glm_moe_dsa", "model.layers.0.self_attn.indexer.wk", Some("indexer")),
            ("glm_moe_dsa", "model.layers.0.self_attn.indexer.wq_b", None),
            ("hunyuan_v1_moe", "model.layers.0.mlp.gate.wg", Some("router")),
            ("internvl_chat", "mlp1.3", Some("projector")),
            ("deepseek_v4", "head", Some("output head")),
            ("deepseek_v4", "layers.0.attn.compressor.wkv", Some("compressor")),
            ("deepseek_v4", "layers.0.attn.wq_b", None),
            ("mamba", "backbone.layers.0.mixer.in_proj", Some("state space")),
            ("mamba2", "backbone.layers.0.mixer.in_proj", None),
            ("bert", "bert.pooler.dense", Some("pooler")),
            ("gpt2", "h.0.attn.c_attn", Some("stored transposed (Conv1D)")),
            ("bart", "model.shared", Some("embedding")),
            (
                "t5",
                "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
                Some("embedding"),
            ),
        ] {
            assert_eq!(Families::of_types(&[kind]).kept(module), reason, "{kind} {module}");
        }
    }

    #[test]
    fn parts_of_a_model_bring_their_own_rows() {
        let config = serde_json::json!({
            "model_type": "llava",
            "text_config": {"model_type": "qwen3_moe"},
        });
        let families = Families::of(config.as_object());
        assert!(families.known() && families.renamed());
        assert_eq!(families.kept("language_model.model.layers.0.mlp.gate"), Some("router"));
        let deep = serde_json::json!({
            "model_type": "omni",
            "thinker_config": {"text_config": {"model_type": "qwen3_moe"}},
        });
        let families = Families::of(deep.as_object());
        assert_eq!(families.kept("thinker.model.layers.0.mlp.gate"), Some("router"));
        let unknown =
            serde_json::json!({"model_type": "new", "text_config": {"model_type": "llama"}});
        assert!(!Families::of(unknown.as_object()).known());
        assert!(!Families::of(None).known());
    }

    #[test]
    fn what_lies_beside_a_language_model_is_a_tower() {
        let mut families = Families::of_types(&["unheard_of"]);
        assert_eq!(families.tower("encoder.layers.0.attn.to_q"), None);
        families.language = Some("language_model");
        let outside = Some(("encoder", "outside the language model"));
        assert_eq!(families.tower("encoder.layers.0.attn.to_q"), outside);
        assert_eq!(families.tower("model.encoder.out"), outside);
        for module in ["language_model.model.layers.0.mlp.up_proj", "lm_head", "model.norm"] {
            assert_eq!(families.tower(module), None, "{module}");
        }
    }

    #[test]
    fn layers_that_are_stored_transposed_show_it() {
        let mut families = Families::of_types(&["unheard_of"]);
        assert_eq!(families.kept("h.0.mlp.c_fc"), None);
        families.transposed = true;
        assert_eq!(families.kept("h.0.mlp.c_fc"), Some("stored transposed (Conv1D)"));
        assert_eq!(families.kept("h.0.mlp.up_proj"), None);
    }

    #[test]
    fn heads_without_tensors_are_known() {
        for (kind, head) in [
            ("whisper", "proj_out"),
            ("bert", "cls.predictions.decoder"),
            ("roberta", "lm_head.decoder"),
            ("gpt_neox", "embed_out"),
            ("electra", "generator_lm_head"),
            ("distilbert", "vocab_projector"),
            ("modernbert", "decoder"),
            ("t5", "lm_head"),
        ] {
            assert!(Families::of_types(&[kind]).heads().contains(&head), "{kind}");
        }
    }

    #[test]
    fn running_names_follow_the_consumers() {
        let phimoe =
            Families::of_types(&["phimoe"]).running("model.layers.0.block_sparse_moe.gate");
        assert!(phimoe.contains(&"model.layers.0.mlp.router".to_owned()));
        let granite = Families::of_types(&["granitemoe"]);
        assert_eq!(
            granite.running("m.0.block_sparse_moe.input_linear"),
            ["m.0.block_sparse_moe.experts"]
        );
    }
}
