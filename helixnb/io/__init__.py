"""Files in and out: RELION STAR metadata, MRC stacks and maps.

Nothing here knows about refinement. Each reader refuses what it cannot use with an
`helixnb.errors.InputError` that names the file, the row and the column, because a
wrong number that slips in here would surface hours later as a bad map.
"""
