package tidegate

import (
	"github.com/tidegate/tidegate/sdk/go/internal/rules"
	"github.com/tidegate/tidegate/sdk/go/internal/store"
)

// Reasons by their place in rules.PreReasons (R102).
const (
	preSampled = iota
	preRateLimited
	preInvalid
	preTooLarge
	preNoConsent
	preKilled
	preBeforeSend
	preCallbackError
	preRefusedFull
	preClosed
)

// Reasons by their place in rules.PostReasons (R103).
const (
	postQueueFull = iota
	postStoreFull
	postStoreError
	postExpired
	postRetryExhausted
	postRejected4xx
	postRejected413
	postPurgedKill
	postShutdownTimeout
	postUnconfirmed
)

// Sequence numbers are reserved in blocks, the next one when fewer than seqAhead are left (R43, R111).
const (
	seqBlock = 256
	seqAhead = 128
)

// epoch is one life of one queue with its ledger (R100, R106). Its sums hold at every moment at which
// the client's lock is free (R101).
type epoch struct {
	id      string
	ledger  rules.Report
	seq     int64
	older   bool // recovered from the store, or left to it when it refused a write (R116)
	finSent bool // its last report was sealed
	closed  bool // and acknowledged, or will never be
	// acked is the newest report that was acknowledged (R107).
	acked rules.Report
	keep  keeper
}

// reserved is the highest number that may have been given (R114).
func (e *epoch) reserved() int64 {
	if e.seq > e.keep.reserved {
		return e.seq
	}
	return e.keep.reserved
}

// next is the seq that the next admission gets.
func (e *epoch) next() int64 { return e.seq + 1 }

// admit gives an event its seq.
func (e *epoch) admit() int64 {
	e.seq++
	e.ledger.Tracked++
	e.ledger.Admitted++
	e.ledger.Held++
	return e.seq
}

// over says whether the last report of an epoch that is not the current one is due (R114).
func (e *epoch) over() bool { return e.ledger.Held == 0 && !e.finSent && !e.keep.behind() }

func (e *epoch) pre(reason, class int) {
	e.ledger.Tracked++
	e.ledger.Pre[reason][class]++
}

func (e *epoch) post(reason, class, count int) {
	e.ledger.Held -= int64(count)
	e.ledger.Post[reason][class] += int64(count)
}

func (e *epoch) settle(count int) {
	e.ledger.Held -= int64(count)
	e.ledger.Acked += int64(count)
}

// report is the next report (R100). Of an epoch that the store has and cannot write it is what the store
// has, so that no later life of the epoch tells less (R116).
func (e *epoch) report(fin bool) rules.Report {
	if e.keep.behind() {
		r := e.keep.told
		r.N++
		return r
	}
	e.ledger.N++
	r := e.ledger
	if fin {
		r.Fin, r.Reserved = true, e.reserved()
	}
	return r
}

// snapshot is the ledger as the store keeps it.
func (e *epoch) snapshot(buf []byte) []byte { return store.Snapshot(buf, e.ledger, e.keep.reserved) }

// Row is a reason, a class, and how many.
type Row struct {
	Reason string
	Class  Class
	Count  int64
}

func rowsOf(counts *rules.Counts, names []string) []Row {
	out := []Row{}
	for i, name := range names {
		for class, count := range counts[i] {
			if count > 0 {
				out = append(out, Row{name, Class(class), count})
			}
		}
	}
	return out
}
