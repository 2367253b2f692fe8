//! The `talkspurt` program.

fn main() {
    println!("talkspurt: joining comes with the session loop");
}
