//! What the demo shows when all is done: the answers, whose data they are from, and where to go on.

use assay_client::{ClientError, ResultPage};
use assay_core::State;

use super::data::CREDITS;
use super::plan::{Ended, Picture};
use crate::cli::{Context, DEFAULT_LISTEN, Failure};
use crate::output::chart::Bar;
use crate::output::table::Sheet;
use crate::output::{self, Ink, Screen, chart, errors, text};

/// The rows of an answer that are shown.
const ROWS: u64 = 16;
/// The width of tables where lines have no end.
const WIDTH: u16 = 100;
const BARS_WIDTH: usize = 48;

/// Prints the answers in the order of the plan.
///
/// # Errors
/// When an answer cannot be fetched or printed.
pub async fn tell(context: &Context, ended: &[Ended]) -> Result<(), Failure> {
    let screen = Screen {
        width: context.out.width.or(Some(WIDTH)),
        ..context.out
    };
    for Ended { plan, job } in ended {
        output::print(&format!("\n{}\n", screen.paint(Ink::Strong, plan.title)))?;
        let shown = match (&job.error, job.state) {
            (_, State::Succeeded) => draw(&fetch(context, &job.id, plan.picture).await?, plan.picture, &screen),
            (Some(problem), _) => errors::render(&problem.to_error(), None, &screen),
            (None, state) => format!("{state}\n"),
        };
        output::print(&shown)?;
    }
    Ok(())
}

async fn fetch(context: &Context, id: &str, picture: Picture) -> Result<ResultPage, ClientError> {
    let rows = if picture == Picture::Histogram { 1_000 } else { ROWS };
    Ok(context.client.result(id, rows).await?.value)
}

fn draw(page: &ResultPage, picture: Picture, screen: &Screen) -> String {
    if picture == Picture::Histogram {
        return chart::bars(&bars_of(page), BARS_WIDTH);
    }
    let mut shown = Sheet::of_answer(&page.columns, &page.rows).render(screen).text;
    let more = page.row_count.saturating_sub(page.rows.len() as u64);
    if more > 0 {
        shown.push_str(&format!(" … and {}\n", text::counted(more, "row")));
    }
    shown
}

fn bars_of(page: &ResultPage) -> Vec<Bar> {
    let edge = |row: &assay_client::Row, name| row.find(name).map_or_else(String::new, text::rounded);
    let bar = |row: &assay_client::Row| Bar {
        label: format!("{} to {}", edge(row, "lower"), edge(row, "upper")),
        value: row.find("count").and_then(|count| count.parse().ok()).unwrap_or(0),
    };
    page.rows.iter().map(bar).collect()
}

/// Prints whose data were shown.
///
/// # Errors
/// When nobody reads it.
pub fn credits() -> Result<(), Failure> {
    let lines: Vec<String> = CREDITS
        .iter()
        .map(|(names, credit)| format!("  {names}: {credit}\n"))
        .collect();
    Ok(output::print(&format!("\nThe data:\n{}", lines.concat()))?)
}

/// Prints what to open and what to try, ready to be pasted.
///
/// # Errors
/// When nobody reads it.
pub fn addresses(url: &str) -> Result<(), Failure> {
    let server = if url == format!("http://{DEFAULT_LISTEN}") {
        String::new()
    } else {
        format!(" --server {url}")
    };
    Ok(output::print(&format!(
        r#"
Open:
  {url}/docs            the API, to read and to try
  {url}/openapi.json    the same for programs

Try:
  curl -s {url}/v1/datasets
  curl -s '{url}/v1/datasets/flights/records?carrier=eq.UA&dep_delay=gt.300&_limit=3'
  curl -s {url}/v1/query -H 'content-type: application/json' \
    -d '{{"sql": "SELECT species, avg(body_mass_g) AS mass FROM penguins GROUP BY species"}}'
  curl -s {url}/v1/jobs -H 'content-type: application/json' -H 'prefer: wait=10' \
    -d '{{"analysis": "describe", "input": "earthquakes"}}'
  curl -sN {url}/v1/events

Or with this program:
  assay query "SELECT origin, count(*) AS flights FROM flights GROUP BY origin"{server}
  assay run histogram --on penguins -p column=body_mass_g{server}
  assay load FILE --as NAME{server}
"#
    ))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_drawn_from_their_edges() {
        let page: ResultPage = serde_json::from_str(
            r#"{"columns":[],"row_count":2,"rows":[
                {"bin":1,"lower":-0.5,"upper":0.0,"count":10},{"bin":2,"lower":0.0,"upper":0.5,"count":40}]}"#,
        )
        .unwrap();
        let screen = Screen {
            is_terminal: false,
            color: false,
            width: Some(80),
        };
        let drawn = draw(&page, Picture::Histogram, &screen);
        assert_eq!(
            drawn,
            format!(
                " -0.5 to 0.0 {} 10\n  0.0 to 0.5 {} 40\n",
                "█".repeat(12),
                "█".repeat(48)
            )
        );
    }
}
