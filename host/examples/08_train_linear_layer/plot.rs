//! The table and the curves.

use std::fmt::Write as _;

use plotters::prelude::*;

use crate::machine::Result;
use crate::{Curve, STEPS, WINDOW};

fn mean(losses: &[f32]) -> f32 {
    losses.iter().sum::<f32>() / losses.len() as f32
}

/// Mean losses before some steps, the last among them.
pub(crate) fn table(curves: &[Curve]) -> String {
    let columns = [1, 3, 6, 10, 15].map(|window| window * WINDOW);
    let mut text = String::from("| loss, mean of 20 steps before step |");
    columns.iter().for_each(|step| write!(text, " {step} |").expect("a string"));
    text += " learned, by BF16 |\n|---|--:|";
    columns.iter().for_each(|_| text += "--:|");
    for Curve { recipe, losses, learned } in curves {
        write!(text, "\n| {recipe} |").expect("a string");
        for step in columns {
            write!(text, " {:.5} |", mean(&losses[step - WINDOW..step])).expect("a string");
        }
        write!(text, " {learned:.5} |").expect("a string");
    }
    text
}

/// The curves as SVG, the loss on a logarithmic scale.
pub(crate) fn svg(curves: &[Curve]) -> Result<String> {
    const COLOURS: [RGBColor; 4] =
        [RGBColor(34, 34, 34), RGBColor(11, 98, 164), RGBColor(209, 96, 15), RGBColor(90, 143, 41)];
    let smooth: Vec<Vec<(f32, f32)>> = curves
        .iter()
        .map(|curve| {
            let windows = curve.losses.windows(WINDOW).enumerate().step_by(5);
            windows.map(|(i, window)| ((i + WINDOW) as f32, mean(window))).collect()
        })
        .collect();
    let all = || smooth.iter().flatten().map(|point| point.1);
    let (low, high) = (all().fold(f32::MAX, f32::min), all().fold(f32::MIN, f32::max));
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (660, 400)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..STEPS as f32, (low * 0.8..high * 1.25).log_scale())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_desc("step")
            .y_desc("loss")
            .x_label_formatter(&|step| format!("{step:.0}"))
            .y_label_formatter(&|loss| format!("{loss:.0e}"))
            .draw()?;
        for ((curve, points), colour) in curves.iter().zip(smooth).zip(COLOURS) {
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(curve.recipe)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .background_style(WHITE)
            .border_style(BLACK.mix(0.2))
            .draw()?;
        area.present()?;
    }
    Ok(text)
}
