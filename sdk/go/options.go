package tidegate

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"strings"

	"github.com/tidegate/tidegate/sdk/go/internal/rules"
)

// Class says how important an event is. Under pressure bulk goes first.
type Class int

// The classes of events.
const (
	Critical Class = 0
	Normal   Class = 1
	Bulk     Class = 2
)

// Event is what BeforeSend may look at and change.
type Event struct {
	Type  string
	Props map[string]any
	Class Class
}

// Options of a client. Key and Endpoint are required; of everything else the zero value stands for
// the default. Values out of range are clamped (R40).
type Options struct {
	// Key is the write key, 4 to 128 visible ASCII characters. One that begins with "sk_" is
	// secret and travels in a header only.
	Key string
	// Endpoint is the gateway's absolute http or https URL.
	Endpoint string
	// Instance names this client; without it one is made up, and kept in the store if there is one.
	Instance string
	// Context travels with every batch, at most 4,096 bytes as JSON.
	Context map[string]any

	// BatchEventsMax is the number of events of a batch (500; 1 to 5,000).
	BatchEventsMax int
	// BatchBytesMax is the size of a batch before compression (262,144; 1,024 to 921,600).
	BatchBytesMax int
	// BatchMS is how long an event waits for others (2,000; 100 to 3,600,000).
	BatchMS int
	// EventBytesMax is the size of an event (262,144; 256 to 262,144).
	EventBytesMax int
	// QueueBytesMax is the size of everything that is held (8,388,608; 65,536 to 67,108,864).
	QueueBytesMax int
	// QueueFloorBytes are three sizes, by class, that more important events leave to a class in a
	// full queue (an eighth of QueueBytesMax each).
	QueueFloorBytes []int
	// RatePerS and RateBurst limit events other than critical ones (none; 0.1 to 100,000 and 1 to
	// 100,000). With one of them the other is 50 or 200.
	RatePerS  float64
	RateBurst int
	// Sample keeps a part of the events of a type, or of "*": 0 to 1.
	Sample map[string]float64
	// SampleBy is "id" (the default) or "instance": what decides together.
	SampleBy string
	// RetryBaseMS and RetryCapMS shape the delays after failures (1,000 and 60,000).
	RetryBaseMS int
	RetryCapMS  int
	// TTLMS is how old an event may become (3,600,000; 60,000 to 2,592,000,000).
	TTLMS int
	// RequestTimeoutMS is how long a request may take (30,000; 100 to 120,000).
	RequestTimeoutMS int
	// GzipBytesMin is from which size on batches are compressed (1,024); below 0 stands for all.
	GzipBytesMin int
	// StoreDir is a folder that keeps what is queued over restarts (off).
	StoreDir string
	// StoreFlushMS is after how long an event is in the store at the latest (1,000; 10 to 1,000).
	StoreFlushMS int
	// OptedOut is the state of consent if the store knows none.
	OptedOut bool

	// BeforeSend may change an event or drop it by returning nil. It runs in Track's goroutine.
	BeforeSend func(*Event) *Event
	// OnDrop is told of everything that is dropped. It should be quick.
	OnDrop func(reason string, class Class, count int)
	// Logger gets warnings, once per episode (slog.Default()).
	Logger *slog.Logger
}

// Why New refuses options (R41).
var (
	ErrKey      = errors.New("tidegate: the key is missing or not 4 to 128 visible ASCII characters")
	ErrEndpoint = errors.New("tidegate: the endpoint is missing or no absolute http or https URL without query and fragment")
)

// settings are options that were checked, apart from those that a configuration may change.
type settings struct {
	key, endpoint    string
	instance         string // empty: to be made
	context          []byte
	eventBytesMax    int
	requestTimeoutMS int64
	gzipBytesMin     int
	storeFlushMS     int64
	local            map[string]any // R40, for rules.Merge
	warnings         []string
}

func check(o *Options) (*settings, error) {
	if len(o.Key) < 4 || len(o.Key) > 128 || strings.IndexFunc(o.Key, func(r rune) bool { return r < 0x21 || r > 0x7E }) >= 0 {
		return nil, ErrKey
	}
	endpoint, err := url.Parse(o.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" ||
		strings.ContainsAny(o.Endpoint, "?#") {
		return nil, ErrEndpoint
	}
	s := &settings{
		key:              o.Key,
		endpoint:         strings.TrimSuffix(o.Endpoint, "/"),
		eventBytesMax:    clamp(o.EventBytesMax, 262144, 256, 262144),
		requestTimeoutMS: int64(clamp(o.RequestTimeoutMS, 30000, 100, 120000)),
		gzipBytesMin:     clamp(o.GzipBytesMin, 1024, 0, math.MaxInt),
		storeFlushMS:     int64(clamp(o.StoreFlushMS, 1000, 10, 1000)),
		local:            o.local(),
	}
	if rules.ValidName(o.Instance) {
		s.instance = o.Instance
	} else if o.Instance != "" {
		s.warnings = append(s.warnings, "the instance is not [A-Za-z0-9_.:-]{1,128}; one is made up")
	}
	if len(o.Context) > 0 {
		text, err := rules.AppendValue(nil, o.Context, 1, contextBytesMax)
		if err != nil {
			s.warnings = append(s.warnings, "the context is not JSON of at most 4,096 bytes; it is left out")
		} else {
			s.context = text
		}
	}
	return s, nil
}

const contextBytesMax = 4096

func clamp(value, otherwise, least, most int) int {
	switch {
	case value == 0:
		return otherwise
	case value < least:
		return least
	case value > most:
		return most
	}
	return value
}

// local is what was given, under the names of R40.
func (o *Options) local() map[string]any {
	out := map[string]any{}
	for name, value := range map[string]int{
		"batch_events_max": o.BatchEventsMax, "batch_bytes_max": o.BatchBytesMax, "batch_ms": o.BatchMS,
		"queue_bytes_max": o.QueueBytesMax, "rate_burst": o.RateBurst, "retry_base_ms": o.RetryBaseMS,
		"retry_cap_ms": o.RetryCapMS, "ttl_ms": o.TTLMS,
	} {
		if value != 0 {
			out[name] = value
		}
	}
	if o.RatePerS != 0 {
		out["rate_per_s"] = o.RatePerS
	}
	if o.QueueFloorBytes != nil {
		floors := []any{}
		for _, floor := range o.QueueFloorBytes {
			floors = append(floors, floor)
		}
		out["queue_floor_bytes"] = floors
	}
	if o.SampleBy != "" {
		out["sample_by"] = o.SampleBy
	}
	sample := map[string]any{}
	for name, rate := range o.Sample {
		sample[name] = rate
	}
	out["sample"] = sample
	return out
}

func (s *settings) secret() bool { return strings.HasPrefix(s.key, "sk_") }

// escape percent-encodes all but the unreserved characters of RFC 3986 (R1).
func escape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
