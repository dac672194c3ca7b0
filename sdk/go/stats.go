package tidegate

import (
	"encoding/json"

	"github.com/tidegate/tidegate/sdk/go/internal/rules"
)

// MarshalJSON writes a row as ["reason",class,count].
func (r Row) MarshalJSON() ([]byte, error) { return json.Marshal([]any{r.Reason, r.Class, r.Count}) }

// Ledger says what became of the events of one epoch. Two sums always hold: Tracked is Admitted plus
// the sum of Pre, Admitted is Acked plus Held plus the sum of Post (R101).
type Ledger struct {
	Epoch    string `json:"epoch"`
	Tracked  int64  `json:"tracked"`
	Admitted int64  `json:"admitted"`
	Acked    int64  `json:"acked"`
	Held     int64  `json:"held"`
	Pre      []Row  `json:"pre"`
	Post     []Row  `json:"post"`
}

// Stats is what is known about a client at one moment (R105).
type Stats struct {
	Ledger
	Queued     [3]int `json:"queued"`    // events by class that are in no batch yet
	Sealed     int    `json:"sealed"`    // batches that are not settled
	InFlight   int    `json:"in_flight"` // batch requests
	QueueBytes int64  `json:"queue_bytes"`
	StoreBytes int64  `json:"store_bytes"`
	Filtered   int64  `json:"filtered"` // acknowledged events that the gateway filtered
	Rejected   int64  `json:"rejected"` // acknowledged events that the gateway rejected
	Breaker    string `json:"breaker"`  // closed, open or probing
	Pressure   int    `json:"pressure"`
	// Config is the version of the configuration in force, nil if there is none.
	Config   *int64 `json:"config"`
	KilledMS int64  `json:"killed_ms"`
	OptedOut bool   `json:"opted_out"`
	// Older are epochs that were found in the store and are not closed yet.
	Older []Ledger `json:"older"`
}

func (c *core) stats() Stats {
	c.enter()
	defer c.leave()
	if !c.ended {
		c.expire()
		c.wake()
	}
	s := Stats{
		Ledger: ledgerOf(c.epoch), QueueBytes: c.used, Filtered: c.filtered, Rejected: c.rejected,
		Breaker: c.breaker.state.String(), Pressure: c.level(), KilledMS: c.killedMS(), OptedOut: c.optedOut,
		StoreBytes: c.epoch.keep.bytes, Older: []Ledger{},
	}
	for class := range c.queue {
		s.Queued[class] = c.queue[class].Len()
		s.Sealed += len(c.sealed[class])
		for _, b := range c.sealed[class] {
			if b.inFlight {
				s.InFlight++
			}
		}
	}
	for _, e := range c.older {
		s.Older = append(s.Older, ledgerOf(e))
		s.StoreBytes += e.keep.bytes
	}
	if c.eff.Config >= 0 {
		version := c.eff.Config
		s.Config = &version
	}
	return s
}

func ledgerOf(e *epoch) Ledger {
	l := &e.ledger
	return Ledger{
		Epoch: e.id, Tracked: l.Tracked, Admitted: l.Admitted, Acked: l.Acked, Held: l.Held,
		Pre: rowsOf(&l.Pre, rules.PreReasons[:]), Post: rowsOf(&l.Post, rules.PostReasons[:]),
	}
}
