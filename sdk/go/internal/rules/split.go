package rules

// Middle is how many of n events the first half of a split batch takes (R19).
func Middle(n int) int { return (n + 1) / 2 }

// RecoveredAgeMS is the age of an event from the store (R90). A clock that cannot be right is not
// believed.
func RecoveredAgeMS(wallMS, ts int64) int64 {
	age := wallMS - ts
	if age < 0 || age > 2_592_000_000 {
		return 0
	}
	return age
}
