"""Files in and out: metadata of RELION and CryoSPARC, MRC stacks and maps, results.

Nothing here knows about refinement. Each reader refuses what it cannot use with an
`helixnb.errors.InputError` that names the file, the row and the column, because a
wrong number that slips in here would surface hours later as a bad map.
"""
