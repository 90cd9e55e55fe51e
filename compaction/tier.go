package compaction

// Tier numbers the size class of a segment, 0 for the smallest; each is four
// times the one below.
func Tier(m Meta) int { return tier(m) }
