-- oldest program: 1
-- Two triggers on disjoint columns of `vods`. The pipeline sets stage, problem and video_id,
-- and the visible columns follow. An operator sets visible columns, and the pipeline's own
-- follow: whoever works on the VOD loses the lease, and the workers are woken.

CREATE FUNCTION show_vod(v vods) RETURNS vods LANGUAGE plpgsql STABLE AS $$
BEGIN
    v.processed := v.stage NOT IN ('live', 'queued', 'downloading');
    v.download_state := CASE v.stage
        WHEN 'live' THEN 'pending'
        WHEN 'queued' THEN CASE WHEN v.problem IS NULL THEN 'pending' ELSE 'failed' END
        WHEN 'downloading' THEN 'downloading'
        WHEN 'failed' THEN 'failed'
        WHEN 'skipped' THEN 'skipped'
        ELSE 'complete' END;
    v.youtube_url := 'https://www.youtube.com/watch?v=' || v.video_id;
    v.processing_error := v.problem;
    v.updated_at := clock_timestamp();
    RETURN v;
END $$;

CREATE FUNCTION youtube_id(url text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    found text := substring(
        url from '^(?:https?://(?:www\.|m\.|music\.)?(?:youtube\.com/(?:watch\?(?:[^#]*&)?v=|live/|shorts/|embed/)|youtu\.be/))?([A-Za-z0-9_-]{1,64})(?:[?&#/].*)?$');
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION 'youtube_url % names no video', quote_literal(left(url, 100))
            USING HINT = 'It should look like https://www.youtube.com/watch?v=ID', ERRCODE = '22023';
    END IF;
    RETURN found;
END $$;

-- What an operator typed: an empty text is none, and what makes no sense is refused.
CREATE FUNCTION read_edit(v vods) RETURNS vods LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    v.processing_error := nullif(btrim(v.processing_error), '');
    v.youtube_url := nullif(btrim(v.youtube_url), '');
    IF v.processed IS NULL THEN
        RAISE EXCEPTION 'processed cannot be NULL' USING HINT = 'Set it to true or false', ERRCODE = '22004';
    END IF;
    IF v.download_state IS NULL
            OR v.download_state NOT IN ('pending', 'downloading', 'skipped', 'failed', 'complete') THEN
        RAISE EXCEPTION 'download_state cannot be set to %', quote_nullable(left(v.download_state, 50))
            USING HINT = 'Set it to pending (try again), skipped, failed or complete', ERRCODE = '22023';
    END IF;
    RETURN v;
END $$;

-- What was in the way is forgotten; it may go on at once, unless it is still being recorded.
CREATE FUNCTION forget_trouble(v vods) RETURNS vods LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    v.problem := NULL;
    v.problem_code := NULL;
    IF v.stage <> 'live' THEN
        v.next_try_at := NULL;
        v.waiting_for := NULL;
    END IF;
    v.missing_since := NULL;
    v.download_attempts := 0;
    v.upload_attempts := 0;
    v.polls := 0;
    RETURN v;
END $$;

-- Another stage, for a reason, and nothing to wait for.
CREATE FUNCTION put_vod(v vods, new_stage text, reason text) RETURNS vods LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    v.stage := new_stage;
    v := forget_trouble(v);
    v.problem := reason;
    v.problem_code := CASE WHEN reason IS NOT NULL THEN 'operator' END;
    RETURN v;
END $$;

-- What is left to do for a VOD, judged by what there is of it.
CREATE FUNCTION next_stage(v vods) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN v.video_id IS NOT NULL THEN 'verifying'
        WHEN v.downloaded_path IS NOT NULL THEN 'downloaded'
        ELSE 'queued' END
$$;

CREATE FUNCTION apply_edited_state(v vods) RETURNS vods LANGUAGE plpgsql AS $$
BEGIN
    CASE v.download_state
    WHEN 'pending' THEN
        v := put_vod(v, 'queued', NULL);
        v.recheck := true;
    WHEN 'skipped' THEN
        v := put_vod(v, 'skipped', coalesce(v.processing_error, 'skipped by an operator'));
    WHEN 'failed' THEN
        v := put_vod(v, CASE WHEN v.processed THEN 'failed' ELSE 'queued' END,
            coalesce(v.processing_error, 'marked as failed by an operator'));
        IF NOT v.processed THEN
            v.recheck := true;
            v.next_try_at := now() + interval '10 minutes';
            v.waiting_for := 'cooldown';
        END IF;
    WHEN 'complete' THEN
        IF next_stage(v) = 'queued' THEN
            RAISE EXCEPTION 'VOD % has neither a file nor a video, so it is not complete', v.twitch_vod_id
                USING HINT = 'To be done with it: UPDATE vods SET processed=true, processing_error=''reason''',
                      ERRCODE = '22023';
        END IF;
        v := put_vod(v, next_stage(v), NULL);
    ELSE
        RAISE EXCEPTION 'download_state cannot be set to %', quote_literal(v.download_state)
            USING HINT = 'Only a worker downloads. To ask for it, set download_state to pending', ERRCODE = '22023';
    END CASE;
    RETURN v;
END $$;

CREATE FUNCTION apply_edited_error(v vods) RETURNS vods LANGUAGE plpgsql AS $$
BEGIN
    IF v.processing_error IS NOT NULL THEN
        IF v.processed THEN
            v := put_vod(v, CASE v.stage WHEN 'skipped' THEN 'skipped' ELSE 'failed' END, v.processing_error);
        ELSE
            v.problem := v.processing_error;
            v.problem_code := 'operator';
        END IF;
    ELSIF v.stage = 'failed' THEN
        v := put_vod(v, next_stage(v), NULL);
        v.recheck := true;
    ELSE
        v := forget_trouble(v);
    END IF;
    RETURN v;
END $$;

-- What the author of an edit meant. The columns of `was` are those before the edit; `v` has its
-- video_id already.
CREATE FUNCTION apply_edit(was vods, v vods) RETURNS vods LANGUAGE plpgsql AS $$
DECLARE
    error_edited boolean := v.processing_error IS DISTINCT FROM was.processing_error;
    url_edited boolean := v.youtube_url IS DISTINCT FROM was.youtube_url;
    url_set boolean := url_edited AND v.youtube_url IS NOT NULL;
    ends_it boolean := v.processed AND v.processing_error IS NOT NULL
        AND (error_edited OR NOT (was.processed OR url_set));
BEGIN
    IF v.download_state <> was.download_state THEN
        v := apply_edited_state(v);
    ELSIF ends_it THEN
        v := apply_edited_error(v);
    ELSIF url_set THEN
        v := put_vod(v, 'verifying', NULL);
        v.recheck := false;
    ELSIF was.processed AND NOT v.processed THEN
        v := put_vod(v, 'queued', CASE WHEN error_edited THEN v.processing_error END);
        v.recheck := true;
    ELSIF v.processed AND NOT was.processed THEN
        v := CASE next_stage(v)
            WHEN 'queued' THEN put_vod(v, 'skipped', 'marked as processed by an operator')
            ELSE put_vod(v, next_stage(v), NULL) END;
    ELSE
        IF error_edited THEN
            v := apply_edited_error(v);
        END IF;
        IF url_edited AND v.stage NOT IN ('failed', 'skipped') THEN
            v := put_vod(v, next_stage(v), CASE WHEN NOT v.processed THEN v.problem END);
            v.recheck := true;
        END IF;
    END IF;
    RETURN v;
END $$;

CREATE FUNCTION apply_operators_edit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- Set by commands; who types into psql is not known.
    actor text := nullif(current_setting('vodtender.actor', true), '');
BEGIN
    NEW := read_edit(NEW);
    IF (NEW.processed, NEW.download_state, NEW.youtube_url, NEW.processing_error)
            IS NOT DISTINCT FROM (OLD.processed, OLD.download_state, OLD.youtube_url, OLD.processing_error) THEN
        RETURN NEW;
    END IF;
    IF NEW.youtube_url IS DISTINCT FROM OLD.youtube_url THEN
        NEW.video_id := CASE WHEN NEW.youtube_url IS NOT NULL THEN youtube_id(NEW.youtube_url) END;
        NEW.published_at := NULL;
    END IF;
    NEW := apply_edit(OLD, NEW);
    IF NEW.stage = 'downloading' THEN
        NEW.stage := 'queued';  -- its worker has just lost it
    END IF;
    IF NEW.stage <> 'finalizing' THEN
        NEW.uncertain_since := NULL;
    END IF;
    NEW.cancel_reason := NULL;
    NEW.worker_id := NULL;
    NEW.lease_expires_at := NULL;
    NEW.claim := NEW.claim + 1;
    NEW := show_vod(NEW);
    INSERT INTO vod_history (vod_id, actor, from_stage, to_stage, detail)
        VALUES (NEW.id, coalesce(actor, 'operator'), OLD.stage, NEW.stage,
            coalesce(NEW.problem, CASE WHEN actor IS NULL THEN 'edited by hand' END));
    NOTIFY vodtender;
    RETURN NEW;
END $$;

CREATE TRIGGER operators_edit
    BEFORE UPDATE OF processed, download_state, youtube_url, processing_error ON vods
    FOR EACH ROW EXECUTE FUNCTION apply_operators_edit();

-- A VOD that an operator releases from the quota, or from what was amiss with its account,
-- releases the account, too. At the end of the statement, since workers lock the VOD first and
-- the hold after it.
CREATE FUNCTION release_holds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE upload_holds SET held_until = now() WHERE held_until > now() AND code IN (
        SELECT old_rows.problem_code FROM old_rows JOIN new_rows USING (id)
        WHERE old_rows.problem_code IN ('quota', 'login') AND new_rows.problem IS NULL
            AND new_rows.stage <> 'verifying'
            AND new_rows.claim > old_rows.claim AND new_rows.worker_id IS NULL
    );
    RETURN NULL;
END $$;

CREATE TRIGGER release_holds AFTER UPDATE ON vods
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION release_holds();

CREATE FUNCTION show_pipelines_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    actor text := coalesce(nullif(current_setting('vodtender.actor', true), ''), OLD.worker_id,
        NEW.worker_id, who_acts());
BEGIN
    IF (NEW.stage, NEW.problem, NEW.video_id) IS NOT DISTINCT FROM (OLD.stage, OLD.problem, OLD.video_id) THEN
        RETURN NEW;
    END IF;
    NEW := show_vod(NEW);
    -- The same trouble in other words, as a hold has them each day, is no step.
    IF NEW.stage <> OLD.stage OR NEW.video_id IS DISTINCT FROM OLD.video_id
            OR NEW.problem_code IS DISTINCT FROM OLD.problem_code OR NEW.problem IS NULL OR OLD.problem IS NULL THEN
        INSERT INTO vod_history (vod_id, actor, from_stage, to_stage, detail)
            VALUES (NEW.id, actor, OLD.stage, NEW.stage, NEW.problem);
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER pipelines_step BEFORE UPDATE OF stage, problem, video_id ON vods
    FOR EACH ROW EXECUTE FUNCTION show_pipelines_step();

-- A row typed in by hand is understood by its visible columns, too.
CREATE FUNCTION read_new_vod(v vods) RETURNS vods LANGUAGE plpgsql AS $$
DECLARE
    said text := v.processing_error;
BEGIN
    IF v.youtube_url IS NOT NULL THEN
        v.video_id := youtube_id(v.youtube_url);
    END IF;
    IF v.download_state IN ('skipped', 'complete') OR (v.download_state = 'failed' AND v.video_id IS NULL) THEN
        RETURN apply_edited_state(v);
    ELSIF v.processed AND said IS NOT NULL THEN
        RETURN put_vod(v, 'failed', said);
    ELSIF v.video_id IS NOT NULL THEN
        RETURN put_vod(v, 'verifying', NULL);
    ELSIF v.processed AND v.downloaded_path IS NOT NULL THEN
        RETURN put_vod(v, 'downloaded', said);
    ELSIF v.processed THEN
        RETURN put_vod(v, 'skipped', 'marked as processed by an operator');
    ELSIF said IS NOT NULL THEN
        RETURN put_vod(v, 'queued', said);
    END IF;
    RETURN v;
END $$;

CREATE FUNCTION enter_vod() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.stage = 'queued' AND NEW.problem IS NULL AND NEW.video_id IS NULL THEN
        NEW := read_new_vod(read_edit(NEW));
    END IF;
    NEW := show_vod(NEW);
    NOTIFY vodtender;
    RETURN NEW;
END $$;

CREATE TRIGGER entered BEFORE INSERT ON vods FOR EACH ROW EXECUTE FUNCTION enter_vod();
