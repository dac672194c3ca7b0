package rules

import "math"

const (
	// WaitMSMax is the longest delay or pause of any kind (R43).
	WaitMSMax = 3_600_000
	nMax      = 30
	// IntegerMax is the largest integer that every platform reads (R10).
	IntegerMax = 1<<53 - 1
)

// DelayMS is full jitter on top of what the server asked for (R80).
func DelayMS(serverMS int64, n int64, baseMS, capMS int64, unit float64) int64 {
	if n > nMax {
		n = nMax
	}
	span := math.Min(float64(capMS), float64(baseMS)*math.Pow(2, float64(n)))
	return min64(WaitMSMax, serverMS+int64(math.Floor(unit*span)))
}

// PauseMS is a pause and up to a tenth of it (R84).
func PauseMS(ms int64, unit float64) int64 {
	return min64(WaitMSMax, ms+int64(math.Floor(unit*math.Min(float64(ms)/10, 60_000))))
}

func min64(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func max64(a, b int64) int64 {
	if a > b {
		return a
	}
	return b
}
