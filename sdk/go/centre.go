package tidegate

import (
	"encoding/json"

	"github.com/tidegate/tidegate/sdk/go/internal/platform"
	"github.com/tidegate/tidegate/sdk/go/internal/rules"
)

// centre is what is known of the remote configuration (R120-R126).
type centre struct {
	doc     *rules.Document
	etag    string
	fetched bool // since the start
	need    bool
	busy    bool
	began   int64
	abort   func()
	cancel  func()
	serial  int
	// first is when this version was received for the first time: its kill counts from then.
	first     int64 // monotonic, may be before the start
	firstWall int64
}

// kept is the form of the last good document in the store.
type kept struct {
	Received int64  `json:"received"`
	First    int64  `json:"first"`
	ETag     string `json:"etag"`
	Body     []byte `json:"body"`
}

// killedMS is how long nothing may be sent any more (R126).
func (c *core) killedMS() int64 {
	if c.eff.OffMS == 0 {
		return 0
	}
	return later(0, c.conf.first+c.eff.OffMS-c.now())
}

// fetchIfDue begins a fetch that is needed, once in a minute (R121).
func (c *core) fetchIfDue() {
	if !c.conf.need || c.conf.busy || c.closed || c.optedOut || c.killedMS() > 0 {
		return
	}
	if c.conf.fetched && c.now()-c.conf.began < fetchMS {
		return
	}
	c.fetch()
}

// fetch asks for the configuration (R27). Its result touches neither breaker nor delays (R120).
func (c *core) fetch() {
	f := &c.conf
	f.need, f.busy, f.fetched, f.began = false, true, true, c.now()
	f.serial++
	serial := f.serial
	url := c.opt.endpoint + "/v1/config"
	if !c.opt.secret() {
		url += "?key=" + escape(c.opt.key)
	}
	header := c.headers()
	if f.etag != "" {
		header = append(header, [2]string{"If-None-Match", f.etag})
	}
	f.abort = c.p.HTTP(platform.Request{Method: "GET", URL: url, Header: header}, func(reply platform.Reply) {
		c.later(func() {
			if f.busy && f.serial == serial {
				f.cancel()
				f.busy = false
				c.document(reply)
			}
		})()
	})
	f.cancel = c.p.Timer(c.opt.requestTimeoutMS, c.later(func() {
		if f.busy && f.serial == serial {
			f.busy = false
			f.abort()
		}
	}))
}

func (c *core) stopFetch() {
	if c.conf.busy {
		c.conf.busy = false
		c.conf.cancel()
		c.conf.abort()
	}
}

// document takes a document that was fetched, if it is one and not older (R124).
func (c *core) document(reply platform.Reply) {
	if reply.Status != 200 {
		return
	}
	read := rules.ParseDocument(reply.Body)
	if read == nil || rules.Chosen(c.conf.doc, read) != read {
		return
	}
	wall := c.p.WallMS()
	if c.conf.doc == nil || c.conf.doc.Version != read.Version {
		c.conf.first, c.conf.firstWall = c.now(), wall
	}
	c.conf.doc, c.conf.etag = read, reply.ETag
	c.apply()
	if c.store != nil {
		text, err := json.Marshal(kept{Received: wall, First: c.conf.firstWall, ETag: reply.ETag, Body: reply.Body})
		if err == nil {
			c.p.Offload(func() { err = c.store.Write("config", text) }, c.later(func() {
				if err != nil {
					c.warnOnce(dropKey{"store", 0}, "the store cannot be written", "error", err)
				}
			}))
		}
	}
	if c.killedMS() > 0 && c.eff.Purge {
		c.purge()
	}
}

// remembered takes the document of the store, for seven days (R124).
func (c *core) remembered(text []byte) {
	var k kept
	if json.Unmarshal(text, &k) != nil || c.p.WallMS()-k.Received > documentMS {
		return
	}
	if read := rules.ParseDocument(k.Body); read != nil {
		c.conf.doc, c.conf.etag, c.conf.firstWall = read, k.ETag, k.First
		c.conf.first = c.now() - later(0, c.p.WallMS()-k.First)
	}
}

// apply computes what holds now (R123).
func (c *core) apply() {
	c.eff = rules.Merge("server", c.opt.local, c.conf.doc)
	c.bucket.Set(c.eff.RatePerS, c.eff.RateBurst, c.now())
	c.shrink()
}

// shrink evicts at once what does not fit any more (R73).
func (c *core) shrink() {
	if c.used > c.eff.QueueBytesMax {
		c.evict(rules.Shrink(c.sizes(), c.used, c.eff.QueueBytesMax, c.eff.Floors))
	}
}

// purge drops all that is held; what is in flight ends normally first (R126).
func (c *core) purge() {
	for class := range c.queue {
		c.dropQueued(c.queue[class].pop(c.queue[class].Len()), postPurgedKill)
		for _, b := range append([]*batch(nil), c.sealed[class]...) {
			if b.inFlight {
				b.purge = true
				continue
			}
			c.undrain(b)
			c.dropBatch(b, postPurgedKill)
		}
	}
}
