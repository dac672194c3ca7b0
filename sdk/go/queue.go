package tidegate

// event is one that was admitted.
type event struct {
	epoch *epoch
	class int
	seq   int64
	ts    int64
	// mono is when it was tracked, on the monotonic clock; of recovered ones it means nothing.
	mono      int64
	recovered bool
	line      []byte // without age and newline
	ageAt     int
	aged      int    // bytes of an age that the line has all the same: it was found in a sealed batch
	age       int64  // at sealing
	order     uint64 // of admission in this process
	kept      bool   // it is in the store
}

// size is what an event counts in the queue: its line without an age, and the newline (R70).
func (e *event) size() int64 { return int64(len(e.line)-e.aged) + 1 }

// fifo is the queue of one class. It implements rules.Sizes.
type fifo struct {
	events []*event
	head   int
	bytes  int64
}

func (q *fifo) Len() int         { return len(q.events) - q.head }
func (q *fifo) Size(i int) int64 { return q.events[q.head+i].size() }
func (q *fifo) Bytes() int64     { return q.bytes }

func (q *fifo) at(i int) *event { return q.events[q.head+i] }

func (q *fifo) push(e *event) {
	q.events = append(q.events, e)
	q.bytes += e.size()
}

// pop takes the n oldest.
func (q *fifo) pop(n int) []*event {
	out := make([]*event, n)
	copy(out, q.events[q.head:q.head+n])
	for i := q.head; i < q.head+n; i++ {
		q.bytes -= q.events[i].size()
		q.events[i] = nil
	}
	q.head += n
	if q.head > 64 && q.head*2 > len(q.events) {
		q.events = append([]*event(nil), q.events[q.head:]...)
		q.head = 0
	}
	return out
}

// front puts events before all others.
func (q *fifo) front(events []*event) {
	for _, e := range events {
		q.bytes += e.size()
	}
	q.events = append(append([]*event(nil), events...), q.events[q.head:]...)
	q.head = 0
}

// remove takes everything that a test is true of.
func (q *fifo) remove(test func(*event) bool) []*event {
	var out, rest []*event
	for _, e := range q.events[q.head:] {
		if test(e) {
			out = append(out, e)
			q.bytes -= e.size()
		} else {
			rest = append(rest, e)
		}
	}
	q.events, q.head = rest, 0
	return out
}
