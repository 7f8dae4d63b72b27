//! serde for options, by their names, and for figures.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::{
    Config, E4m3Max, ErrorPath, InputType, Metric, Outputs, Rule, ScaleLayout, Scaling,
};

/// serde's traits for an option that writes its name by `Display` and reads it by `FromStr`.
///
/// For the crates of this project.
#[doc(hidden)]
#[macro_export]
macro_rules! serde_by_name {
    ($($option:ident),+ $(,)?) => {$(
        impl ::serde::Serialize for $option {
            fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $option {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let name = <String as ::serde::Deserialize>::deserialize(from)?;
                name.parse().map_err(<D::Error as ::serde::de::Error>::custom)
            }
        }
    )+};
}

serde_by_name!(Metric, ErrorPath, E4m3Max, Rule, Scaling, Outputs, ScaleLayout, InputType);

/// A [`Config`] as it is written. What is left out when it is read is the default.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Options {
    rule: Rule,
    scaling: Scaling,
    outputs: Outputs,
    scale_layout: ScaleLayout,
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let options = Options {
            rule: self.rule(),
            scaling: self.scaling(),
            outputs: self.outputs(),
            scale_layout: self.scale_layout(),
        };
        options.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Config {
    /// Refuses what [`Config::builder`] does.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Options { rule, scaling, outputs, scale_layout } = Options::deserialize(from)?;
        let builder = Self::builder().rule(rule).scaling(scaling).outputs(outputs);
        builder.scale_layout(scale_layout).build().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Choices, Deviation};

    #[test]
    fn every_configuration_reads_back_as_it_was_written() {
        let mut count = 0;
        for rule in Rule::ALL {
            for scaling in Scaling::ALL {
                for outputs in Outputs::ALL {
                    for layout in ScaleLayout::ALL {
                        let Ok(config) = Config::new(rule, scaling, outputs, layout) else {
                            continue;
                        };
                        let text = serde_json::to_string(&config).unwrap();
                        assert_eq!(
                            serde_json::from_str::<Config>(&text).unwrap(),
                            config,
                            "{text}"
                        );
                        count += 1;
                    }
                }
            }
        }
        // Row scaling with Four Over Six is rowwise only: 8 rules, 2 outputs, 2 layouts less.
        assert_eq!(count, 9 * 3 * 3 * 2 - 8 * 2 * 2);
    }

    #[test]
    fn options_are_written_by_their_names() {
        let text = serde_json::to_string(&Config::default()).unwrap();
        let expected = r#"{"rule":"mse-strict-256","scaling":"tensor","outputs":"rowwise","scale_layout":"linear"}"#;
        assert_eq!(text, expected);
        let read = |text| serde_json::from_str::<Config>(text).map_err(|error| error.to_string());
        assert_eq!(read("{}"), Ok(Config::default()));
        assert_eq!(read(r#"{"rule": "plain"}"#), Ok(Config::rowwise(Rule::Plain)));
        let error = read(r#"{"rule": "best"}"#).unwrap_err();
        assert!(error.contains("best") && error.contains("mse-fast"), "{error}");
        let error = read(r#"{"scaling": "row", "outputs": "both"}"#).unwrap_err();
        assert!(error.contains("row scaling"), "{error}");
        assert!(read(r#"{"colour": "red"}"#).is_err());
    }

    #[test]
    fn figures_read_back() {
        let choices = Choices { map4: 3, blocks: 7 };
        let text = serde_json::to_string(&choices).unwrap();
        assert_eq!(serde_json::from_str::<Choices>(&text).unwrap(), choices);
        let deviation = Deviation { squared_error: 0.1, input_power: 2.0, max_error: 0.3 };
        let text = serde_json::to_string(&deviation).unwrap();
        assert_eq!(serde_json::from_str::<Deviation>(&text).unwrap(), deviation);
    }
}
