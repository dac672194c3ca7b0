package rules

import (
	"strings"
)

// BodyBytesMax is how much of a reply's body is read (R14).
const BodyBytesMax = 65_536

// Act is what a reply asks the sender to do.
type Act string

// What a reply can ask for.
const (
	ActSettled      Act = "settled"
	ActRetry        Act = "retry"
	ActSplit        Act = "split"
	ActDrop         Act = "drop"
	ActDropAndPause Act = "drop_and_pause"
)

// Limit is a pause of one class (R24).
type Limit struct {
	Class int
	MS    int64
}

// Verdict is what a reply means (R14-R26, R104).
type Verdict struct {
	Act      Act
	Answered bool
	// Filtered and Rejected are of a settled batch.
	Filtered, Rejected int64
	ServerMS           int64
	// Speaks says that the reply had a JSON object as its body and was no network error, so that
	// Limits, Pressure and Config count.
	Speaks   bool
	Limits   []Limit
	Pressure int
	Config   int64
	// HasConfig says that the reply names a version.
	HasConfig bool
}

// Classify says what a reply means. Status 0 stands for no complete reply.
func Classify(status int, retryAfter string, body []byte, batch string, count int, wallMS int64) Verdict {
	read, isObject := readObject(body)
	v := Verdict{Act: act(status, read, batch, count)}
	if v.Act == ActSettled {
		v.Filtered, _ = whole(read["filtered"])
		rejected, _ := read["rejected"].([]any)
		v.Rejected = int64(len(rejected))
	}
	reason, _ := read["reason"].(string)
	v.Answered = v.Act == ActSettled || status >= 400 && status < 500 ||
		status == 503 && (reason == "pressure" || reason == "busy")
	foreign := status == 0 || v.Act == ActRetry && status < 400
	if v.Act == ActRetry && !foreign {
		v.ServerMS = ServerMS(retryAfter, read["retry_ms"], wallMS)
	}
	if foreign || !isObject {
		return v
	}
	v.Speaks = true
	v.Limits = limits(read["limits"])
	if level, ok := whole(read["pressure"]); ok {
		v.Pressure = int(min64(level, 3))
	}
	v.Config, v.HasConfig = whole(read["config"])
	return v
}

func act(status int, read map[string]any, batch string, count int) Act {
	switch {
	case status == 200 && settles(read, batch, count):
		return ActSettled
	case status < 400 || status >= 500:
		return ActRetry
	case status == 408 || status == 425 || status == 429:
		return ActRetry
	case status == 413:
		return ActSplit
	case status == 401 || status == 403 || status == 404:
		return ActDropAndPause
	}
	return ActDrop
}

// settles says whether a 200 is the gateway's own and about all of this batch (R15).
func settles(read map[string]any, batch string, count int) bool {
	echoed, ok := read["batch"].(string)
	if !ok || !strings.EqualFold(echoed, batch) {
		return false
	}
	accepted, ok := wholeOr0(read, "accepted")
	if unchecked, _ := read["unchecked"].(bool); unchecked {
		return ok && accepted == int64(count)
	}
	filtered, okFiltered := wholeOr0(read, "filtered")
	rejected := []any{}
	if given, there := read["rejected"]; there {
		list, isList := given.([]any)
		if !isList {
			return false
		}
		rejected = list
	}
	return ok && okFiltered && accepted+filtered+int64(len(rejected)) == int64(count)
}

func wholeOr0(read map[string]any, name string) (int64, bool) {
	value, there := read[name]
	if !there {
		return 0, true
	}
	return whole(value)
}

// limits keeps the valid pairs, in their order (R24).
func limits(value any) []Limit {
	list, _ := value.([]any)
	out := []Limit{}
	for _, item := range list {
		pair, _ := item.([]any)
		if len(pair) != 2 {
			continue
		}
		class, okClass := whole(pair[0])
		ms, okMS := whole(pair[1])
		if okClass && class <= 2 && okMS {
			out = append(out, Limit{Class: int(class), MS: min64(ms, WaitMSMax)})
		}
	}
	return out
}

func readObject(body []byte) (map[string]any, bool) {
	if len(body) > BodyBytesMax {
		return nil, false
	}
	value, err := Decode(body)
	if err != nil {
		return nil, false
	}
	object, ok := value.(map[string]any)
	return object, ok
}
