//! A queue that has no room for spans that go.

use super::*;

impl Opened {
    /// Takes what room the queue has, with a row that is given up when it is read ([`Self::queued`]).
    fn fill_queue(&self) {
        let room = self.queue.max_bytes() - self.queue.bytes();
        assert!(self.queue.append(vec![9; room as usize].into()).unwrap().blocking_recv().unwrap());
    }
}

#[test]
fn what_the_queue_has_no_room_for_waits_with_its_job_until_it_has() {
    let place = Place::new(HoldSpans::default());
    let opened = place.open();
    opened.hold(&[1, 2]);
    opened.fill_queue();
    opened.tell(&[1]);
    assert!(opened.counted("not_queued: 0,"), "{:?}", opened.counts);
    assert!(opened.counted("job_attributes: [0, 0, 0, 0], held_spans: 2"), "{:?}", opened.counts);
    drop(opened);
    let opened = place.open();
    opened.tell(&[1]);
    assert!(opened.counted("job_attributes: [0, 0, 0, 0], held_spans: 2"), "a crash takes none of it");
    opened.wait_for(&[(1, true)]);
    assert!(opened.counted("job_attributes: [1, 0, 0, 0], held_spans: 1"), "{:?}", opened.counts);
}

#[test]
fn what_the_queue_has_no_room_for_is_given_up_for_what_comes() {
    let place = Place::new(HoldSpans { max_bytes: 1000, ..HoldSpans::default() });
    let opened = place.open();
    opened.fill_queue();
    for id in 1..=9 {
        opened.hold(&[id]);
        opened.tell(&[id]);
        assert!(opened.counts.held_bytes() <= 1000);
    }
    assert!(!opened.counted("not_queued: 0,"), "{:?}", opened.counts);
    assert!(opened.counted("job_attributes: [0, 0, 0, 0]"), "{:?}", opened.counts);
    opened.wait_for(&[(7, true), (8, true), (9, true)]);
}
