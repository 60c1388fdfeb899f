//! Prints the generated part of COMPATIBILITY.md.

fn main() {
    print!("{}", nuncio_config::render_compatibility());
}
