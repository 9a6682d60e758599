//! Prints `docs/metrics.md` from the inventory of metrics.

#[expect(clippy::print_stdout, reason = "a command line tool answers on its streams")]
fn main() {
    print!("{}", spantally_server::export::inventory::markdown());
}
