//! The pages that the voice side makes.

use std::rc::Rc;

use tokio::sync::mpsc;

use super::Server;
use crate::http::{Page, PageRequest};
use crate::{metrics, report};

impl Server {
    pub(super) async fn answer_pages(self: Rc<Self>, mut requests: mpsc::Receiver<PageRequest>) {
        while let Some(PageRequest { page, reply }) = requests.recv().await {
            // The client may have gone.
            let _ = reply.send(self.page(&page));
        }
    }

    fn page(&self, page: &Page) -> String {
        let hub = self.hub.borrow();
        match page {
            Page::Health => "ok\n".to_owned(),
            Page::Metrics(format, process) => metrics::render(
                *format,
                process,
                hub.counters(),
                &hub.frame_counters(),
                &hub.gauges(),
                &self.mix_times,
            ),
            Page::Rooms => report::RoomsReport::of(&hub).to_json(),
        }
    }
}
