-- Lists of columns that more than one statement names. In `sql/queries`, `%{list}` stands for a list,
-- and `i.%{list}` for the same columns of `i`.

-- sent --
-- What a sender says of an interaction, beside whose it is; in the order of
-- `memory.log.fields.COLUMNS`.
interaction_id, session_id, kind, role, content, source, payload, private, occurred_at, utc_offset,
agent_id, actor

-- interaction --
-- What is read of an interaction.
tenant_id, user_id, %{sent}, ordinal, position, recorded_at
