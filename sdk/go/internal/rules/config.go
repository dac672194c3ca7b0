package rules

import (
	"math"
	"sort"
)

// Document is a configuration document that was read (R122).
type Document struct {
	Version int64
	members map[string]any
}

// ParseDocument reads a document; nil if it is no JSON object with an integer version (R122).
func ParseDocument(text []byte) *Document {
	if len(text) > BodyBytesMax {
		return nil
	}
	value, err := Decode(text)
	if err != nil {
		return nil
	}
	members, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	version, ok := whole(members["version"])
	if !ok || version > IntegerMax {
		return nil
	}
	return &Document{Version: version, members: members}
}

// Chosen is the document in force after another was fetched (R124).
func Chosen(inForce, fetched *Document) *Document {
	if fetched == nil || inForce != nil && fetched.Version < inForce.Version {
		return inForce
	}
	return fetched
}

// DegradeEntry is a level of pressure and its factors; a negative factor says nothing (R95).
type DegradeEntry struct {
	Pressure int
	Factors  [3]float64
}

// Effective is every value that holds (R40, R123).
type Effective struct {
	Config                                 int64 // below 0: none
	BatchEventsMax, BatchBytesMax, BatchMS int64
	QueueBytesMax                          int64
	RatePerS, RateBurst                    *float64
	RetryBaseMS, RetryCapMS, TTLMS         int64
	Floors                                 [3]int64
	SampleLocal, SampleRemote              map[string]float64
	SampleByID                             bool
	Classes                                map[string]int
	Degrade                                []DegradeEntry
	OffMS                                  int64
	Purge                                  bool
	DedupeS                                *int64
}

type bound struct {
	option      string
	path        [2]string
	least, most float64
	integer     bool
	lower       bool // of both, the lower wins
}

var bounds = []bound{
	{"batch_events_max", [2]string{"batch", "events"}, 1, 5000, true, true},
	{"batch_bytes_max", [2]string{"batch", "bytes"}, 1024, 921600, true, true},
	{"batch_ms", [2]string{"batch", "ms"}, 100, 3600000, true, false},
	{"queue_bytes_max", [2]string{"queue", "bytes"}, 65536, 67108864, true, true},
	{"rate_per_s", [2]string{"rate", "per_s"}, 0.1, 100000, false, true},
	{"rate_burst", [2]string{"rate", "burst"}, 1, 100000, true, true},
	{"retry_base_ms", [2]string{"retry", "base_ms"}, 100, 60000, true, false},
	{"retry_cap_ms", [2]string{"retry", "cap_ms"}, 1000, 3600000, true, false},
	{"ttl_ms", [2]string{"ttl_s", ""}, 60000, 2592000000, true, true},
}

// defaults by profile; NaN is none.
var defaults = map[string]map[string]float64{
	"device": {"batch_events_max": 100, "batch_bytes_max": 49152, "batch_ms": 5000,
		"queue_bytes_max": 1048576, "rate_per_s": 50, "rate_burst": 200, "retry_base_ms": 1000,
		"retry_cap_ms": 60000, "ttl_ms": 86400000},
	"server": {"batch_events_max": 500, "batch_bytes_max": 262144, "batch_ms": 2000,
		"queue_bytes_max": 8388608, "rate_per_s": math.NaN(), "rate_burst": math.NaN(),
		"retry_base_ms": 1000, "retry_cap_ms": 60000, "ttl_ms": 3600000},
}

// Merge computes every effective value from local options (snake_case; what is absent was not
// given) and the document in force (R123).
func Merge(profile string, local map[string]any, document *Document) Effective {
	e := Effective{Config: -1}
	var remote map[string]any
	if document != nil {
		e.Config, remote = document.Version, document.members
	}
	values := map[string]float64{}
	for _, b := range bounds {
		values[b.option] = b.merge(profile, local, remote)
	}
	whole := func(name string) int64 { return int64(values[name]) }
	e.BatchEventsMax, e.BatchBytesMax, e.BatchMS = whole("batch_events_max"), whole("batch_bytes_max"), whole("batch_ms")
	e.QueueBytesMax, e.TTLMS = whole("queue_bytes_max"), whole("ttl_ms")
	e.RetryBaseMS = whole("retry_base_ms")
	e.RetryCapMS = max64(whole("retry_cap_ms"), e.RetryBaseMS)
	e.RatePerS, e.RateBurst = rate(values["rate_per_s"], values["rate_burst"])
	e.Floors = floorsOf(e.QueueBytesMax, local["queue_floor_bytes"], at(remote, "queue", "floors"))
	e.SampleLocal, e.SampleRemote = rates(local["sample"]), rates(remote["sample"])
	e.SampleByID = profile == "server"
	for _, by := range []any{local["sample_by"], remote["sample_by"]} {
		if by == "instance" || by == "id" {
			e.SampleByID = by == "id"
		}
	}
	e.Classes = classes(remote["classes"])
	e.Degrade = degrade(remote["degrade"])
	if off, ok := bounded(remote["off_ms"], 0, 86400000, true); ok {
		e.OffMS = int64(off)
	}
	e.Purge = remote["purge"] == true
	if dedupe, ok := bounded(remote["dedupe_s"], 0, 86400, true); ok {
		n := int64(dedupe)
		e.DedupeS = &n
	}
	return e
}

func (b bound) merge(profile string, local, remote map[string]any) float64 {
	scale := 1.0
	said := remote[b.path[0]]
	if b.path[1] != "" {
		said = at(remote, b.path[0], b.path[1])
	} else {
		scale = 1000 // seconds on the wire
	}
	theirs, there := bounded(said, b.least/scale, b.most/scale, b.integer)
	theirs *= scale
	ours, here := bounded(local[b.option], b.least, b.most, b.integer)
	switch {
	case here && there && b.lower:
		return math.Min(ours, theirs)
	case here && there:
		return math.Max(ours, theirs)
	case here:
		return ours
	case there:
		return theirs
	}
	return defaults[profile][b.option]
}

// rate: with only one of both, the other has its device default (R69).
func rate(perS, burst float64) (*float64, *float64) {
	if math.IsNaN(perS) && math.IsNaN(burst) {
		return nil, nil
	}
	if math.IsNaN(perS) {
		perS = defaults["device"]["rate_per_s"]
	}
	if math.IsNaN(burst) {
		burst = defaults["device"]["rate_burst"]
	}
	return &perS, &burst
}

func at(members map[string]any, names ...string) any {
	var value any = members
	for _, name := range names {
		inner, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = inner[name]
	}
	return value
}

// floorsOf takes the first valid list, else an eighth each (R74).
func floorsOf(queueBytes int64, lists ...any) [3]int64 {
	for _, list := range lists {
		items, ok := list.([]any)
		if !ok || len(items) != 3 {
			continue
		}
		var out [3]int64
		var sum float64
		valid := true
		for i, item := range items {
			f, ok := bounded(item, 0, IntegerMax, true)
			valid = valid && ok
			out[i] = int64(f)
			sum += f
		}
		if valid && sum <= float64(queueBytes)/2 {
			return out
		}
	}
	eighth := queueBytes / 8
	return [3]int64{eighth, eighth, eighth}
}

const entriesMax = 1000

// names are the first thousand in order; JSON objects of Go have none of their own.
func names(value any) (map[string]any, []string) {
	members, _ := value.(map[string]any)
	out := make([]string, 0, len(members))
	for name := range members {
		out = append(out, name)
	}
	sort.Strings(out)
	if len(out) > entriesMax {
		out = out[:entriesMax]
	}
	return members, out
}

func rates(value any) map[string]float64 {
	out := map[string]float64{}
	members, order := names(value)
	for _, name := range order {
		if rate, ok := bounded(members[name], 0, 1, false); ok {
			out[name] = rate
		}
	}
	return out
}

func classes(value any) map[string]int {
	out := map[string]int{}
	members, order := names(value)
	for _, name := range order {
		if class, ok := whole(members[name]); ok && class <= 2 {
			out[name] = int(class)
		}
	}
	return out
}

func degrade(value any) []DegradeEntry {
	list, ok := value.([]any)
	if !ok {
		return []DegradeEntry{{1, [3]float64{-1, -1, 0.2}}, {2, [3]float64{-1, -1, 0.1}}, {3, [3]float64{-1, 0.5, 0.05}}}
	}
	out := []DegradeEntry{}
	for i, item := range list {
		if i == 16 {
			break
		}
		entry, _ := item.(map[string]any)
		level, ok := whole(entry["pressure"])
		if !ok || level < 1 || level > 3 {
			continue
		}
		read := DegradeEntry{Pressure: int(level), Factors: [3]float64{-1, -1, -1}}
		factors := rates(entry["classes"])
		for class, name := range []string{"", "1", "2"} {
			if factor, ok := factors[name]; ok && class > 0 {
				read.Factors[class] = factor
			}
		}
		out = append(out, read)
	}
	return out
}

// Factors are the degradation of each class at a level of pressure (R95).
func Factors(entries []DegradeEntry, pressure int) [3]float64 {
	out := [3]float64{1, 1, 1}
	for level := 1; level <= pressure; level++ {
		for _, entry := range entries {
			if entry.Pressure != level {
				continue
			}
			for class, factor := range entry.Factors {
				if factor >= 0 {
					out[class] = factor
				}
			}
		}
	}
	return out
}
