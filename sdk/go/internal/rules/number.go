package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
)

var errTrailing = errors.New("something behind the JSON value")

// Decode reads one JSON text and nothing behind it. Numbers stay texts (json.Number), so that
// 1e999 is a number that is not finite and not an error (R122).
func Decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errTrailing
	}
	return value, nil
}

// number reads a finite number; booleans and texts are none.
func number(value any) (float64, bool) {
	var f float64
	switch v := value.(type) {
	case json.Number:
		parsed, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return 0, false
		}
		f = parsed
	case float64:
		f = v
	case int:
		f = float64(v)
	case int64:
		f = float64(v)
	default:
		return 0, false
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// whole reads an integer from 0, also if it is written with a fraction of zero.
func whole(value any) (int64, bool) {
	f, ok := number(value)
	if !ok || f != math.Floor(f) || f < 0 {
		return 0, false
	}
	if f >= 1<<62 {
		return 1 << 62, true
	}
	return int64(f), true
}

// bounded reads a number and clamps it; an integer where one is asked for.
func bounded(value any, least, most float64, integer bool) (float64, bool) {
	f, ok := number(value)
	if !ok || integer && f != math.Floor(f) {
		return 0, false
	}
	return math.Min(math.Max(f, least), most), true
}
