package rules

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	months    = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
	clock     = `(\d\d):(\d\d):(\d\d)`
	imfDate   = regexp.MustCompile(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ` + months + ` (\d{4}) ` + clock + ` GMT$`)
	rfc850    = regexp.MustCompile(`^(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday), (\d\d)-` + months + `-(\d\d) ` + clock + ` GMT$`)
	asctime   = regexp.MustCompile(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ` + months + ` ([ \d]\d) ` + clock + ` (\d{4})$`)
	monthName = "JanFebMarAprMayJunJulAugSepOctNovDec"
)

// ServerMS is the larger of what the header and the body ask for (R23). The header is empty if it
// was absent, retryMS any value of a decoded JSON text.
func ServerMS(header string, retryMS any, wallMS int64) int64 {
	var body int64
	if ms, ok := whole(retryMS); ok {
		body = min64(ms, WaitMSMax)
	}
	return max64(body, headerMS(header, wallMS))
}

func headerMS(header string, wallMS int64) int64 {
	text := strings.Trim(header, " \t")
	if digits(text) && len(text) <= 15 {
		seconds, _ := strconv.ParseInt(text, 10, 64)
		return min64(seconds*1000, WaitMSMax)
	}
	date, ok := dateMS(text, wallMS)
	if !ok {
		return 0
	}
	return min64(max64(date-wallMS, 0), WaitMSMax)
}

func digits(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}

// dateMS reads the three forms of RFC 9110 section 5.6.7. The name of the day is not compared.
func dateMS(text string, wallMS int64) (int64, bool) {
	var year, day, month, h, m, s string
	short := false
	if f := imfDate.FindStringSubmatch(text); f != nil {
		day, month, year, h, m, s = f[1], f[2], f[3], f[4], f[5], f[6]
	} else if f := rfc850.FindStringSubmatch(text); f != nil {
		day, month, year, h, m, s = f[1], f[2], f[3], f[4], f[5], f[6]
		short = true
	} else if f := asctime.FindStringSubmatch(text); f != nil {
		month, day, h, m, s, year = f[1], f[2], f[3], f[4], f[5], f[6]
	} else {
		return 0, false
	}
	y, d := atoi(year), atoi(strings.TrimSpace(day))
	if short {
		this := time.UnixMilli(wallMS).UTC().Year()
		y += this / 100 * 100
		if y > this+50 {
			y -= 100
		}
	}
	mo := strings.Index(monthName, month)/3 + 1
	hour, minute, second := atoi(h), atoi(m), atoi(s)
	if second == 60 { // A leap second is the second before it.
		second = 59
	}
	if y < 1 || hour > 23 || minute > 59 || second > 59 || d < 1 {
		return 0, false
	}
	moment := time.Date(y, time.Month(mo), d, hour, minute, second, 0, time.UTC)
	if moment.Day() != d {
		return 0, false
	}
	return moment.UnixMilli(), true
}

func atoi(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
