// Package vectors answers the cases of sdk/contract/vectors with the functions of internal/rules.
// The tests of internal/rules and the adapter's operation vec use it.
package vectors

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/sdk/go/internal/rules"
)

// Unsupported is what Go cannot express.
type Unsupported string

func (u Unsupported) Error() string { return string(u) }

type object = map[string]any

// Eval answers one case. Its error is an Unsupported, or says that the case is not understood.
func Eval(function string, in json.RawMessage) (out any, err error) {
	defer func() {
		if what := recover(); what != nil {
			if u, ok := what.(Unsupported); ok {
				out, err = nil, u
				return
			}
			out, err = nil, fmt.Errorf("%s: %v", function, what)
		}
	}()
	read, err := rules.Decode(in)
	if err != nil {
		return nil, err
	}
	f, known := functions[function]
	if !known {
		return nil, Unsupported("the SDK does not compute " + function)
	}
	given := read.(object)
	given["$text"] = in
	return f(given), nil
}

var functions = map[string]func(object) any{
	"splitmix64": splitmix64,
	"uuid7": func(in object) any {
		return rules.UUID7(integer(in["wall_ms"]), unsigned(in["a"]), unsigned(in["b"]))
	},
	"event_line":  eventLine,
	"header_line": headerLine,
	"split":       split,
	"delay_ms": func(in object) any {
		return rules.DelayMS(integer(in["server_ms"]), integer(in["n"]), integer(in["base_ms"]),
			integer(in["cap_ms"]), float(in["unit"]))
	},
	"pause_ms": func(in object) any { return rules.PauseMS(integer(in["ms"]), float(in["unit"])) },
	"jitter":   jitter,
	"server_ms": func(in object) any {
		header, _ := in["header"].(string)
		return rules.ServerMS(header, in["retry_ms"], integer(in["wall_ms"]))
	},
	"classify":   classify,
	"murmur3_32": func(in object) any { return rules.Murmur3([]byte(in["text"].(string))) },
	"decide":     decide,
	"rate":       rate,
	"degrade": func(in object) any {
		document, _ := json.Marshal(object{"version": 1, "degrade": in["degrade"]})
		e := rules.Merge("server", nil, rules.ParseDocument(document))
		out := object{}
		factors := rules.Factors(e.Degrade, int(integer(in["pressure"])))
		for class, factor := range factors {
			if class > 0 && factor != 1 {
				out[strconv.Itoa(class)] = factor
			}
		}
		return out
	},
	"effective": effective,
	"choose":    choose,
	"recovered_age_ms": func(in object) any {
		return rules.RecoveredAgeMS(integer(in["wall_ms"]), integer(in["ts"]))
	},
	"passes": passes,
}

func float(value any) float64 {
	f, err := strconv.ParseFloat(fmt.Sprint(value), 64)
	if err != nil {
		panic(err)
	}
	return f
}

func integer(value any) int64 {
	if value == nil {
		return 0
	}
	if n, err := strconv.ParseInt(fmt.Sprint(value), 10, 64); err == nil {
		return n
	}
	return int64(float(value))
}

func unsigned(value any) uint64 {
	n, err := strconv.ParseUint(fmt.Sprint(value), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func splitmix64(in object) any {
	numbers, units := rules.NewSplitMix64(unsigned(in["seed"])), rules.NewSplitMix64(unsigned(in["seed"]))
	var u64 []string
	var unit []float64
	for i := 0; i < 4; i++ {
		u64 = append(u64, strconv.FormatUint(numbers.Uint64(), 10))
		unit = append(unit, units.Unit())
	}
	return object{"u64": u64, "units": unit}
}

func jitter(in object) any {
	generator := rules.NewSplitMix64(unsigned(in["seed"]))
	out := []int64{}
	for n := int64(0); n < integer(in["failures"]); n++ {
		out = append(out, rules.DelayMS(0, n, 1000, 60000, generator.Unit()))
	}
	return out
}

func eventLine(in object) any {
	event := Exotic(in["event"]).(object)
	max := int(integer(in["event_bytes_max"]))
	kind, isText := event["type"].(string)
	if !isText {
		panic(Unsupported("a type is a string in Go"))
	}
	weight := 1.0
	if given, ok := event["weight"]; ok {
		weight = float(given)
	}
	line, err := rules.NewLine(event["id"].(string), integer(event["ts"]), kind, weight, event["props"], max)
	seq := integer(event["seq"])
	if err == nil && line.Len(seq) > max {
		err = rules.ErrTooLarge
	}
	if err != nil {
		return object{"refused": err.Error()}
	}
	text, ageAt := line.With(seq)
	if len(text) != line.Len(seq) {
		panic("Len is not the length of the line")
	}
	return object{"line": string(rules.AppendAged(nil, text, ageAt, integer(event["age_ms"])))}
}

// Exotic builds what JSON cannot say from {"$": name, ...}.
func Exotic(value any) any {
	switch v := value.(type) {
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = Exotic(item)
		}
		return out
	case object:
		if name, ok := v["$"].(string); ok {
			return exotic(name, v)
		}
		out := object{}
		for name, item := range v {
			out[name] = Exotic(item)
		}
		return out
	}
	return value
}

func exotic(name string, v object) any {
	switch name {
	case "nan":
		return math.NaN()
	case "infinity":
		return math.Inf(1)
	case "minus_infinity":
		return math.Inf(-1)
	case "float":
		return float(v["text"])
	case "integer":
		n, ok := new(big.Int).SetString(v["text"].(string), 10)
		if !ok {
			panic("no integer")
		}
		if n.IsInt64() {
			return n.Int64()
		}
		if n.IsUint64() {
			return n.Uint64()
		}
		return n
	case "absent":
		panic(Unsupported("Go has no absent values"))
	case "opaque":
		return make(chan int)
	case "utf16":
		return wtf8(v["units"].([]any))
	case "bytes":
		b, err := hex.DecodeString(v["hex"].(string))
		if err != nil {
			panic(err)
		}
		return b
	case "date":
		return time.UnixMilli(integer(v["ms"]))
	case "nested":
		var thing any = 1
		for i := int64(0); i < integer(v["containers"]); i++ {
			thing = []any{thing}
		}
		return thing
	case "repeat":
		return strings.Repeat(v["text"].(string), int(integer(v["times"])))
	}
	panic("no exotic value is called " + name)
}

// wtf8 joins pairs of surrogates and writes lone ones as their three bytes.
func wtf8(units []any) string {
	var out []byte
	for i := 0; i < len(units); i++ {
		u := rune(integer(units[i]))
		if u >= 0xD800 && u < 0xDC00 && i+1 < len(units) {
			if low := rune(integer(units[i+1])); low >= 0xDC00 && low < 0xE000 {
				out = append(out, string(0x10000+(u-0xD800)<<10+(low-0xDC00))...)
				i++
				continue
			}
		}
		if u >= 0xD800 && u < 0xE000 {
			out = append(out, 0xE0|byte(u>>12), 0x80|byte(u>>6&0x3F), 0x80|byte(u&0x3F))
			continue
		}
		out = append(out, string(u)...)
	}
	return string(out)
}

func headerLine(in object) any {
	h := rules.Header{
		Batch: in["batch"].(string), SDK: in["sdk"].(string), Instance: in["instance"].(string),
		Epoch: in["epoch"].(string), Class: int(integer(in["class"])), Count: int(integer(in["count"])),
		Config: -1,
	}
	if config, ok := in["config"]; ok {
		h.Config = integer(config)
	}
	// The context as its text, so that its keys keep their order.
	var raw struct{ Context json.RawMessage }
	if err := json.Unmarshal(in["$text"].(json.RawMessage), &raw); err == nil && raw.Context != nil {
		text, err := rules.AppendValue(nil, raw.Context, 1, 1<<20)
		if err != nil {
			panic(err)
		}
		h.Context = text
	}
	given := in["report"].(object)
	r := &h.Report
	r.N, r.Tracked, r.Admitted = integer(given["n"]), integer(given["tracked"]), integer(given["admitted"])
	r.Acked, r.Held = integer(given["acked"]), integer(given["held"])
	r.Fin, r.Reserved = given["fin"] != nil, integer(given["reserved"])
	rows(&r.Pre, rules.PreReasons[:], given["pre"])
	rows(&r.Post, rules.PostReasons[:], given["post"])
	return string(rules.AppendHeader(nil, &h))
}

func rows(counts *rules.Counts, names []string, given any) {
	list, _ := given.([]any)
	for _, item := range list {
		row := item.([]any)
		for i, name := range names {
			if name == row[0] {
				counts[i][integer(row[1])] += integer(row[2])
			}
		}
	}
}

func split(in object) any {
	lines := in["lines"].([]any)
	switch len(lines) {
	case 0:
		return object{"forgotten": true}
	case 1:
		return object{"dropped": "rejected_413"}
	}
	middle := rules.Middle(len(lines))
	return object{"batches": []any{lines[:middle], lines[middle:]}}
}

func classify(in object) any {
	body := strings.ReplaceAll(in["body"].(string), "FILL", strings.Repeat("y", int(integer(in["fill"]))))
	header, _ := in["retry_after"].(string)
	v := rules.Classify(int(integer(in["status"])), header, []byte(body), in["batch"].(string),
		int(integer(in["count"])), integer(in["wall_ms"]))
	out := object{"act": v.Act, "answered": v.Answered}
	if v.Act == rules.ActSettled {
		out["filtered"], out["rejected"] = v.Filtered, v.Rejected
	}
	if v.Act == rules.ActRetry {
		out["server_ms"] = v.ServerMS
	}
	if v.Speaks {
		limits := [][2]int64{}
		for _, limit := range v.Limits {
			limits = append(limits, [2]int64{int64(limit.Class), limit.MS})
		}
		out["limits"], out["pressure"], out["config"] = limits, v.Pressure, nil
		if v.HasConfig {
			out["config"] = v.Config
		}
	}
	return out
}

func decide(in object) any {
	unit, kind, rate := in["unit"].(string), in["type"].(string), float(in["rate"])
	out := object{"hash": rules.Digest(unit, kind), "keep": rules.Keep(unit, kind, rate)}
	if out["keep"] == true {
		out["weight"] = rules.Weight(rate)
	}
	return out
}

func rate(in object) any {
	read := func(value any) map[string]float64 {
		out := map[string]float64{}
		members, _ := value.(object)
		for name, rate := range members {
			out[name] = float(rate)
		}
		return out
	}
	factors := [3]float64{1, 1, 1}
	for name, factor := range read(in["degrade"]) {
		factors[integer(name)] = factor
	}
	return rules.RateOf(in["type"].(string), int(integer(in["class"])), read(in["local"]), read(in["remote"]), factors)
}

func effective(in object) any {
	var document *rules.Document
	for _, text := range in["fetched"].([]any) {
		document = rules.Chosen(document, rules.ParseDocument([]byte(text.(string))))
	}
	local, _ := in["local"].(object)
	return Show(rules.Merge(in["profile"].(string), local, document))
}

// Show writes effective values as the vectors do.
func Show(e rules.Effective) any {
	orNil := func(f *float64) any {
		if f == nil {
			return nil
		}
		return *f
	}
	by := "instance"
	if e.SampleByID {
		by = "id"
	}
	degrade := []any{}
	for _, entry := range e.Degrade {
		factors := object{}
		for class, factor := range entry.Factors {
			if factor >= 0 {
				factors[strconv.Itoa(class)] = factor
			}
		}
		degrade = append(degrade, object{"pressure": entry.Pressure, "classes": factors})
	}
	out := object{
		"config": nil, "batch_events_max": e.BatchEventsMax, "batch_bytes_max": e.BatchBytesMax,
		"batch_ms": e.BatchMS, "queue_bytes_max": e.QueueBytesMax, "rate_per_s": orNil(e.RatePerS),
		"rate_burst": orNil(e.RateBurst), "retry_base_ms": e.RetryBaseMS, "retry_cap_ms": e.RetryCapMS,
		"ttl_ms": e.TTLMS, "queue_floor_bytes": e.Floors, "sample_local": e.SampleLocal,
		"sample_remote": e.SampleRemote, "sample_by": by, "classes": e.Classes, "degrade": degrade,
		"off_ms": e.OffMS, "purge": e.Purge, "dedupe_s": nil,
	}
	if e.Config >= 0 {
		out["config"] = e.Config
	}
	if e.DedupeS != nil {
		out["dedupe_s"] = *e.DedupeS
	}
	return out
}

// list is sizes as the vectors give them.
type list []int64

func (l list) Len() int         { return len(l) }
func (l list) Size(i int) int64 { return l[i] }
func (l list) Bytes() int64 {
	var sum int64
	for _, size := range l {
		sum += size
	}
	return sum
}

func choose(in object) any {
	var queued [3]rules.Sizes
	used := integer(in["sealed_bytes"])
	for class, sizes := range in["queued"].([]any) {
		var l list
		for _, size := range sizes.([]any) {
			l = append(l, integer(size))
		}
		queued[class] = l
		used += l.Bytes()
	}
	var floors [3]int64
	for i, floor := range in["floor_bytes"].([]any) {
		floors[i] = integer(floor)
	}
	admitted, evicted := rules.Choose(queued, used, int(integer(in["class"])), integer(in["size"]),
		integer(in["queue_bytes_max"]), floors)
	return object{"admitted": admitted, "evicted": evicted}
}

func passes(in object) any {
	perS, burst := float(in["per_s"]), float(in["burst"])
	var bucket rules.Bucket
	out := []bool{}
	for i, item := range in["calls"].([]any) {
		call := item.([]any)
		now := integer(call[0])
		if i == 0 {
			bucket.Set(&perS, &burst, now)
		}
		out = append(out, bucket.Take(now, int(integer(call[1]))))
	}
	return out
}
