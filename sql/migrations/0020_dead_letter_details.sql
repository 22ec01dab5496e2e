-- Earlier releases quoted messages in the details of dead letters, which lists and headers show.

UPDATE dead_letters
SET detail = 'an earlier release set it aside; `memory dead-letters redrive` says why'
WHERE reason NOT IN ('no_value', 'oversize', 'future', 'conflict');
