package main

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	tidegate "github.com/tidegate/tidegate/sdk/go"
)

// optionsOf translates options from the names of R40.
func optionsOf(given object) tidegate.Options {
	whole := func(name string) int {
		n, _ := given[name].(json.Number)
		f, _ := n.Float64()
		return int(f)
	}
	text := func(name string) string {
		s, _ := given[name].(string)
		return s
	}
	o := tidegate.Options{
		Key: text("key"), Endpoint: text("endpoint"), Instance: text("instance"),
		BatchEventsMax: whole("batch_events_max"), BatchBytesMax: whole("batch_bytes_max"),
		BatchMS: whole("batch_ms"), EventBytesMax: whole("event_bytes_max"),
		QueueBytesMax: whole("queue_bytes_max"), RateBurst: whole("rate_burst"), SampleBy: text("sample_by"),
		RetryBaseMS: whole("retry_base_ms"), RetryCapMS: whole("retry_cap_ms"), TTLMS: whole("ttl_ms"),
		RequestTimeoutMS: whole("request_timeout_ms"), GzipBytesMin: whole("gzip_bytes_min"),
		StoreFlushMS: whole("store_flush_ms"),
	}
	o.Context, _ = given["context"].(object)
	o.OptedOut, _ = given["opted_out"].(bool)
	if n, ok := given["rate_per_s"].(json.Number); ok {
		o.RatePerS, _ = n.Float64()
	}
	if list, ok := given["queue_floor_bytes"].([]any); ok {
		for _, item := range list {
			n, _ := item.(json.Number)
			floor, _ := n.Int64()
			o.QueueFloorBytes = append(o.QueueFloorBytes, int(floor))
		}
	}
	if rates, ok := given["sample"].(object); ok {
		o.Sample = map[string]float64{}
		for name, rate := range rates {
			n, _ := rate.(json.Number)
			o.Sample[name], _ = n.Float64()
		}
	}
	return o
}

func (c *client) onDrop(name string) func(string, tidegate.Class, int) {
	return func(reason string, class tidegate.Class, count int) {
		c.mu.Lock()
		c.drops[string(rune('0'+class))+reason] += int64(count)
		c.mu.Unlock()
		switch name {
		case "throw":
			panic("the host's on_drop")
		case "reenter":
			c.sdk.Track("inner", nil)
		}
	}
}

func (c *client) beforeSend(name string) func(*tidegate.Event) *tidegate.Event {
	if name == "" {
		return nil
	}
	return func(e *tidegate.Event) *tidegate.Event {
		switch name {
		case "drop":
			return nil
		case "throw":
			panic("the host's before_send")
		case "change":
			e.Props["touched"] = true
		case "demote":
			e.Class = tidegate.Bulk
		case "reenter":
			c.sdk.Track("inner", nil)
		case "bad_type":
			e.Type = "a b"
		}
		return e
	}
}

func (a *adapter) track(m *message) (object, error) {
	count := 1
	if m.Count != nil {
		count = *m.Count
	}
	longest := int64(0)
	err := a.with(m, func(c *client) {
		for i := 0; i < count; i++ {
			props := m.Props
			if m.Marker != nil {
				props = object{}
				for name, value := range m.Props {
					props[name] = value
				}
				props["n"] = *m.Marker + int64(i)
			}
			if us := c.track(m.Type, props, m.Class); us > longest {
				longest = us
			}
		}
	})
	return object{"us": longest}, err
}

func (c *client) track(kind string, props any, class *int) int64 {
	begun := time.Now()
	if members, ok := props.(object); ok && members == nil {
		props = nil
	}
	if class != nil {
		c.sdk.Track(kind, props, tidegate.WithClass(tidegate.Class(*class)))
	} else {
		c.sdk.Track(kind, props)
	}
	return time.Since(begun).Microseconds()
}

// throwing is a type whose own form panics.
type throwing struct{}

func (throwing) MarshalJSON() ([]byte, error) { panic("no form") }

func (a *adapter) odd(m *message) (object, error) {
	c, ok := a.clients[m.Client]
	if !ok {
		return nil, errors.New("there is no such client")
	}
	kind, class := "odd", m.Class
	var value any
	switch m.What {
	case "cyclic":
		cycle := object{}
		cycle["self"] = cycle
		value = cycle
	case "nan":
		value = math.NaN()
	case "infinity":
		value = math.Inf(1)
	case "big_integer":
		value = new(big.Int).Lsh(big.NewInt(1), 64)
	case "lone_surrogate":
		value = "a\xed\xa0\xbdb"
	case "date":
		value = time.Date(2026, 1, 1, 0, 0, 0, 7_000_000, time.UTC)
	case "bytes":
		value = []byte{0x00, 0xFF, 0x10}
	case "opaque":
		value = make(chan int)
	case "throwing":
		value = throwing{}
	case "deep_64", "deep_65":
		deep, _ := strconv.Atoi(strings.TrimPrefix(m.What, "deep_"))
		value = 1
		for i := 2; i < deep; i++ { // the event and its props are two
			value = []any{value}
		}
	case "huge":
		value = strings.Repeat("x", 1<<20)
	case "many":
		many := object{}
		for i := 0; i < 100_000; i++ {
			many["key"+strconv.Itoa(i)] = i
		}
		value = many
	case "number_keys":
		value = map[int]string{5: "x"}
	case "set":
		value = []int{1}
	case "props_list":
		c.track(kind, []any{1}, class)
		return nil, nil
	case "props_text":
		c.track(kind, "text", class)
		return nil, nil
	case "type_empty":
		kind = ""
	case "type_long":
		kind = strings.Repeat("a", 129)
	case "type_blank":
		kind = "a b"
	case "class_9":
		nine := 9
		class = &nine
	case "mutated":
		props := object{"v": 1}
		c.track(kind, props, class)
		props["v"] = 2
		return nil, nil
	default:
		return nil, unsupported("Go cannot express " + m.What)
	}
	props := object{}
	if value != nil {
		props["v"] = value
	}
	if m.Marker != nil {
		props["n"] = *m.Marker
	}
	c.track(kind, props, class)
	return nil, nil
}
