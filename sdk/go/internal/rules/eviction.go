package rules

// Sizes tells the sizes of queued events of one class, oldest first.
type Sizes interface {
	// Len is how many there are.
	Len() int
	// Size is the size of the i-th oldest.
	Size(i int) int64
	// Bytes is the sum of all.
	Bytes() int64
}

// Choose says how many of each class leave a full queue for a newcomer (R71). If all candidates
// together do not free enough, nobody leaves and the newcomer is refused.
func Choose(queued [3]Sizes, used int64, class int, size, queueBytesMax int64, floors [3]int64) (admitted bool, evicted [3]int) {
	need := used + size - queueBytesMax
	evicted, need = take(queued, need, class, floors)
	if need > 0 {
		return false, [3]int{}
	}
	return true, evicted
}

// Shrink says how many of each class leave a queue that became smaller (R73): first down to the
// floors, then without them.
func Shrink(queued [3]Sizes, used, queueBytesMax int64, floors [3]int64) [3]int {
	evicted, need := take(queued, used-queueBytesMax, 0, floors)
	if need > 0 {
		evicted, _ = take(queued, used-queueBytesMax, 0, [3]int64{})
	}
	return evicted
}

func take(queued [3]Sizes, need int64, class int, floors [3]int64) (evicted [3]int, left int64) {
	for candidate := 2; candidate >= class && need > 0; candidate-- {
		bytes, n := queued[candidate].Bytes(), queued[candidate].Len()
		for i := 0; i < n && need > 0; i++ {
			oldest := queued[candidate].Size(i)
			if bytes-oldest < floors[candidate] {
				break
			}
			need -= oldest
			bytes -= oldest
			evicted[candidate]++
		}
	}
	return evicted, need
}
