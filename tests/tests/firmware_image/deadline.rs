//! The watchdog over the image's loop, on both boards.

use anyhow::Result;
use talkspurt_testkit::board::BOARDS;

use crate::scene::turn;

#[test]
fn a_loop_that_hangs_is_reset_and_one_that_lives_is_not() -> Result<()> {
    let _turn = turn();
    for board in BOARDS {
        let printed = board.run_test("deadline")?;
        println!("{}:\n{printed}", board.machine);
        assert!(printed.contains("ms: reset"), "{printed}");
    }
    Ok(())
}
