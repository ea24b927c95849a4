//! Spreadsheets, made by hand as the programs that write them do, and one of the old format from such a program.

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// A sheet of the old format, gzipped: `id`, `when`, `x`; `a`, 2024-02-29, 1.5; `b`, nothing, 2.
const XLS: &str = concat!(
    "H4sIAAAAAAACA+1YTWgTQRT+Zpo0PzS/pkIrlFCwam0P4sVLuypoT5bqRVFBExMx1KYSC1oPWq05CoInRYRCPXipevEHFRQ8eBAq",
    "ehAEIdGjJ0HBQ5v1vZfdmsYKDWihMt8yb2bem2/n7fy83Z03s7HS1P32MurQjyZU7ACaa3SKUsCtREF22+aim/sp2QarCgE/TWSz",
    "F09Cr308hzzfZWjc87wgCXyidBinMDiazyZXEDvFh5RiH/pIKtwkTRht4lVc5DGRa0TelZZPRW4XzRWRfdS2pA5i1hrs3uas4gO6",
    "U2xh8H0fCueDaLagFa94FV+4qqptvdhRyKVOrjJDh6cF06AJHcjmswWuR3AbQWCc0Dsy0pvJlJCgyZ7GdzsJfHN39fOk0a+sXoH0",
    "PxbrfX/Q+2kS6/XXtAeYgH1UNkkRIfg9bPHieK5wemyOmnulCl7huQwZz5zI5mm9nKWUopQOclyXOBBdFAdCsj9aSGYQkXJMdkmU",
    "HJm78/XtnvSQdUQ0ExL7q2+I9ewQbFxkBpHDYmlakN3C2Czyktx1nZTbRSbIU8q7hlqdwu5JaXNZrF3Uz1bBO2tDTXkjlYtf9j7q",
    "KH62NlF5ZqB8LjHz3ppCJ72xMsTnaxI9qkfduM54bLm5cqLJR5Ftv0UWv446vtvOazCCed5LhJjIao1HRy3UtDNWzFZLsJWweTye",
    "Uf/sXRy3XjLrkGY28/QSPC08HuHzmmvM4P76dRwP2EjR7xeCMDAwMDAwMDAwMEDdmY52vsw9zn8Cf/v7nHOdeUoVc0zy32IfRuka",
    "o7/EXchTXsB4Q+tnLbzKvZdaJsc9L2Tsp94LGEZa/BhueP3Sv5uqfZ5lE6N/bws12n+lET//cf8/AV3oNL0AFgAA",
);

fn zipped(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An Excel workbook with sheets of a name and the XML of their rows each. Style 1 is a date, 2 one with a time, 3 a
/// time of day.
fn xlsx(sheets: &[(&str, &str)]) -> Vec<u8> {
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006/relationships";
    let (mut list, mut relations, mut files) = (String::new(), String::new(), Vec::new());
    for (at, (name, rows)) in (1..).zip(sheets) {
        list.push_str(&format!("<sheet name=\"{name}\" sheetId=\"{at}\" r:id=\"r{at}\"/>"));
        relations.push_str(&format!(
            "<Relationship Id=\"r{at}\" Type=\"{office}/worksheet\" Target=\"worksheets/sheet{at}.xml\"/>"
        ));
        let sheet = format!("<worksheet xmlns=\"{main}\"><sheetData>{rows}</sheetData></worksheet>");
        files.push((format!("xl/worksheets/sheet{at}.xml"), sheet));
    }
    let formats = "<xf numFmtId=\"0\"/><xf numFmtId=\"14\"/><xf numFmtId=\"22\"/><xf numFmtId=\"21\"/>";
    files.extend([
        (
            "_rels/.rels".to_owned(),
            format!(
                "<Relationships xmlns=\"{package}\"><Relationship Id=\"r\" Type=\"{office}/officeDocument\" \
                 Target=\"xl/workbook.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/workbook.xml".to_owned(),
            format!("<workbook xmlns=\"{main}\" xmlns:r=\"{office}\"><sheets>{list}</sheets></workbook>"),
        ),
        (
            "xl/_rels/workbook.xml.rels".to_owned(),
            format!("<Relationships xmlns=\"{package}\">{relations}</Relationships>"),
        ),
        (
            "xl/styles.xml".to_owned(),
            format!("<styleSheet xmlns=\"{main}\"><cellXfs count=\"4\">{formats}</cellXfs></styleSheet>"),
        ),
    ]);
    let entries: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    zipped(&entries)
}

fn ods(rows: &str) -> Vec<u8> {
    let space = "urn:oasis:names:tc:opendocument:xmlns";
    let content = format!(
        "<office:document-content xmlns:office=\"{space}:office:1.0\" xmlns:text=\"{space}:text:1.0\" \
         xmlns:table=\"{space}:table:1.0\"><office:body><office:spreadsheet><table:table table:name=\"t\">{rows}\
         </table:table></office:spreadsheet></office:body></office:document-content>"
    );
    let manifest = format!("<manifest:manifest xmlns:manifest=\"{space}:manifest:1.0\"/>");
    zipped(&[
        ("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
        ("META-INF/manifest.xml", &manifest),
        ("content.xml", &content),
    ])
}

fn old() -> Vec<u8> {
    use base64::Engine as _;
    let packed = base64::engine::general_purpose::STANDARD.decode(XLS).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed.as_slice()), &mut bytes).unwrap();
    bytes
}

async fn table(bytes: &[u8], options: Options) -> (Imported, Vec<String>) {
    let (imported, objects) = load_with(bytes, options).await;
    let imported = imported.unwrap();
    let mut table = Vec::new();
    for (name, kind) in kinds(&imported) {
        let values = texts(&imported, &objects, name).await;
        table.push(format!("{name} {kind}: {}", values.join("|")));
    }
    (imported, table)
}

fn text(place: &str, text: &str) -> String {
    format!("<c r=\"{place}\" t=\"inlineStr\"><is><t>{text}</t></is></c>")
}

fn row(number: u32, cells: &[&str]) -> String {
    format!("<row r=\"{number}\">{}</row>", cells.concat())
}

/// 45351 is 2024-02-29 in Excel, .5 is noon.
fn sales() -> String {
    let names = ["B", "C", "D", "E", "F", "G"].map(|column| format!("{column}3"));
    let header: Vec<String> = names
        .iter()
        .zip(["zip", "n", "when", "day", "ok", "mixed"])
        .map(|(at, name)| text(at, name))
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let first = [
        &text("B4", "00501"),
        "<c r=\"C4\"><v>3</v></c><c r=\"D4\" s=\"2\"><v>45351.5</v></c><c r=\"E4\" s=\"1\"><v>45351</v></c>",
        "<c r=\"F4\" t=\"b\"><v>1</v></c><c r=\"G4\"><v>1</v></c>",
    ];
    let second = [
        &text("B6", "10001"),
        "<c r=\"C6\"><v>2.5</v></c><c r=\"D6\" s=\"2\"><v>45352</v></c><c r=\"E6\" t=\"e\"><v>#DIV/0!</v></c>",
        "<c r=\"F6\" t=\"b\"><v>0</v></c>",
        &text("G6", "x"),
    ];
    [row(3, &header), row(4, &first), row(6, &second)].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_workbook_keeps_the_types_of_its_cells() {
    let book = xlsx(&[
        ("empty", ""),
        ("sales", &sales()),
        ("other", &row(1, &[&text("A1", "y")])),
    ]);
    let expected = [
        "zip text: 00501|10001",
        "n double: 3.0|2.5",
        "when timestamp: 2024-02-29T12:00:00Z|2024-03-01T00:00:00Z",
        "day date: 2024-02-29|null",
        "ok bool: true|false",
        "mixed json: 1|\"x\"",
    ];
    for bytes in [gzip(&book), book.clone()] {
        let (imported, found) = table(&bytes, Options::default()).await;
        assert_eq!(found, expected);
        assert_eq!(
            (shape(&imported).format, shape(&imported).sheet.as_deref()),
            (ImportFormat::Xlsx, Some("sales"))
        );
        let told = [
            "the sheet `sales` was read; there are also `empty`, `other`: `sheet=` names one",
            "column `day` holds errors of formulas (1 cells), which are null",
        ];
        assert_eq!(imported.warnings, told);
    }
    let options = Options {
        read: &[("sheet", "other"), ("header", "false")],
        ..Options::default()
    };
    assert_eq!(table(&book, options).await.1, ["column1 text: y"]);
    let options = Options {
        read: &[("sheet", "sale")],
        ..Options::default()
    };
    let error = load_with(&book, options).await.0.unwrap_err();
    assert_eq!(
        (error.code, error.hint.as_deref()),
        (Code::NoRecords, Some("did you mean `sales`?"))
    );
    let twice = Options {
        key: Some("zip"),
        ..Options::default()
    };
    let same = sales().replace("10001", "00501");
    let error = load_with(&xlsx(&[("s", &same)]), twice).await.0.unwrap_err();
    assert_eq!((error.code, error.errors[0].line), (Code::DuplicateKey, Some(6)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_first_row_of_a_sheet_is_a_record_where_it_has_the_types_below() {
    let numbers = [
        row(1, &[&text("A1", "x"), "<c r=\"B1\"><v>1</v></c>"]),
        row(2, &[&text("A2", "y"), "<c r=\"B2\" s=\"3\"><v>0.25</v></c>"]),
    ];
    let (imported, found) = table(&xlsx(&[("s", &numbers.concat())]), Options::default()).await;
    assert_eq!(found, ["column1 text: x|y", "column2 json: 1|\"06:00:00\""]);
    assert_eq!(shape(&imported).header, Some(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn other_spreadsheets_are_read_alike() {
    let cell =
        |kind: &str, rest: &str| format!("<table:table-cell office:value-type=\"{kind}\" {rest}</table:table-cell>");
    let text = |text: &str| cell("string", &format!("><text:p>{text}</text:p>"));
    let date = |date: &str| cell("date", &format!("office:date-value=\"{date}\">"));
    let float = |number: &str| cell("float", &format!("office:value=\"{number}\">"));
    let row = |cells: [String; 3]| format!("<table:table-row>{}</table:table-row>", cells.concat());
    let rows = [
        row([text("zip"), text("when"), text("n")]),
        row([text("00501"), date("2024-02-29T12:30:00"), float("3")]),
        row([text("10001"), date("2024-03-01"), float("4")]),
    ];
    let (imported, found) = table(&ods(&rows.concat()), Options::default()).await;
    let expected = [
        "zip text: 00501|10001",
        "when timestamp: 2024-02-29T12:30:00Z|2024-03-01T00:00:00Z",
        "n int64: 3|4",
    ];
    assert_eq!(
        (found.as_slice(), shape(&imported).format),
        (expected.map(str::to_owned).as_slice(), ImportFormat::Ods)
    );
    let (imported, found) = table(&old(), Options::default()).await;
    assert_eq!(
        found,
        ["id text: a|b", "when date: 2024-02-29|null", "x double: 1.5|2.0"]
    );
    assert_eq!(shape(&imported).format, ImportFormat::Xls);
}

/// The largest sheet there can be, with next to nothing in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cells_far_apart_are_read() {
    let far = row(1, &["<c r=\"A1\"><v>1</v></c>"]) + &row(1_048_576, &["<c r=\"XFD1048576\"><v>2</v></c>"]);
    let options = Options {
        read: &[("header", "false")],
        ..Options::default()
    };
    let (imported, objects) = load_with(&xlsx(&[("s", &far)]), options).await;
    let imported = imported.unwrap();
    assert_eq!(imported.rows, 2);
    assert_eq!(texts(&imported, &objects, "column1").await, ["1", "null"]);
    assert_eq!(
        texts(&imported, &objects, "_rest").await,
        ["null", "{\"column16384\":2}"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_no_sound_spreadsheet_is_told() {
    let book = xlsx(&[("s", &sales())]);
    let cases: [(Vec<u8>, Code, &str); 5] = [
        (
            zipped(&[("notes.txt", "hello")]),
            Code::UnsupportedFormat,
            "ZIP archive without a spreadsheet",
        ),
        (
            book[..book.len() - 30].to_vec(),
            Code::FileDamaged,
            "spreadsheet is damaged",
        ),
        (xlsx(&[("s", "")]), Code::NoRecords, "no cells"),
        (
            xlsx(&[("s", "<row r=\"1\"><c r=\"A1\"><v>1")]),
            Code::FileDamaged,
            "spreadsheet is damaged",
        ),
        (old()[..600].to_vec(), Code::UnsupportedFormat, "Office document"),
    ];
    for (bytes, code, words) in cases {
        let error = refused(&bytes).await;
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(words) && error.hint.is_some(), "{error}");
    }
    let csv = Options {
        format: Some(ImportFormat::Xlsx),
        ..Options::default()
    };
    let error = load_with(b"a,b\n1,2\n", csv).await.0.unwrap_err();
    assert_eq!(error.message, "the file is no spreadsheet");
}
